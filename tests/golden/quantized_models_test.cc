// Checkpoints that transformers and bitsandbytes have written, loaded as they are: logits against those of the real
// libraries (tools/make_quant_goldens.py).
//
// 4 bits: the reference is a model in fp64 whose weights are bitsandbytes' own decoded ones. How far a run may be from
// it is what rounding activations and weights to fp16 costs this very model, as transformers' fp16 run of it shows.
// int8: the reference is bitsandbytes' own run; there, a change in the last place moves an activation to the next of
// 255 codes. How far that leads, its runs with fp32 and with fp16 for the rest of the model show; ours is a third draw
// of the same kind, so up to twice their distance.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "support/models.h"

namespace pkv {
namespace {

struct Case {
  std::filesystem::path folder;
  std::string table;
};
void PrintTo(const Case& c, std::ostream* os) { *os << c.folder.filename().string() << " " << c.table; }

std::vector<Case> cases(bool int8) {
  std::vector<Case> all;
  for (const auto& folder : support::model_folders(support::source() / "tests/golden/quant/models")) {
    if ((folder.filename().string().find("int8") != std::string::npos) != int8) continue;
    for (const kernels::Ops* ops : kernels::tables()) all.push_back({folder, std::string(ops->name)});
  }
  return all;
}

class Checkpoint : public testing::TestWithParam<Case> {
 protected:
  Checkpoint() : expected_(containers::SafeTensors::open(GetParam().folder / "expected.safetensors")) {}

  std::vector<double> values(const std::string& name) const {
    const containers::Tensor& t = expected_.get(name);
    std::vector<double> out;
    const auto add = [&]<class T>(T x) {
      for (std::size_t at = 0; at < t.data.size(); at += sizeof x) {
        std::memcpy(&x, t.data.data() + at, sizeof x);
        out.push_back(static_cast<double>(x));
      }
    };
    if (t.dtype == DType::f64) add(double{});
    if (t.dtype == DType::f32) add(float{});
    if (t.dtype == DType::i64) add(std::int64_t{});
    return out;
  }
  std::vector<std::int32_t> ids() const {
    const auto wide = values("ids");
    return {wide.begin(), wide.end()};
  }
  std::vector<double> logits(const model::LoadOptions& options) const {
    const model::Model model = support::load(GetParam().folder, GetParam().table, 2, options);
    model::Past past = model.new_past();
    const auto row = support::feed(model, past, ids());
    return {row.begin(), row.end()};
  }

  containers::SafeTensors expected_;
};

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!(std::abs(a[i] - b[i]) <= most)) most = std::abs(a[i] - b[i]);
  }
  return most;
}

void expect_within(double apart, double allowed, const char* what) {
  std::printf("  %-14s %3.0f %% of the deviation allowed (%.1e of %.1e)\n", what, 100 * apart / allowed, apart,
              allowed);
  EXPECT_LE(apart, allowed) << what;
}

class FourBitCheckpoint : public Checkpoint {};

TEST_P(FourBitCheckpoint, Logits) {
  const auto exact = values(expected_.has("logits_f64_wide") ? "logits_f64_wide" : "logits_f64");
  const double allowed = distance(values("logits_f16"), values("logits_f64"));
  expect_within(distance(logits({.past_dtype = DType::f32}), exact), allowed, "4 bits");
}

// Decoded to fp32 it is a plain model, and as near as one. fp32 has 13 bits more than fp16, so the same model run in it
// keeps 2^-13 of the distance that transformers' fp16 run has, where products are summed in fp32 and round once. Ours
// round at each step of a sum, of random sign: ten units for the 96 steps that the longest of these sums, 384 products,
// takes with four lanes.
TEST_P(FourBitCheckpoint, Decoded) {
  model::LoadOptions options{.dtype = DType::f32, .past_dtype = DType::f32};
  options.decode = true;
  const double half = distance(values("logits_f16"), values("logits_f64"));
  expect_within(distance(logits(options), values("logits_f64")), 10 * 0x1.0p-13 * half, "decoded");
}

class Int8Checkpoint : public Checkpoint {};

TEST_P(Int8Checkpoint, Logits) {
  model::LoadOptions options{.past_dtype = DType::f32};
  if (expected_.has("logits_rows")) {
    const double allowed = 2 * distance(values("logits_rows_f16"), values("logits_rows"));
    expect_within(distance(logits(options), values("logits_rows")), allowed, "by row");
  }
  options.int8_outliers_of_call = true;
  const double allowed = 2 * distance(values("logits_call_f16"), values("logits_call"));
  expect_within(distance(logits(options), values("logits_call")), allowed, "by call");
}

std::string name_of(const testing::TestParamInfo<Case>& test) {
  return support::test_name(test.param.folder.filename().string() + "_" + test.param.table);
}

INSTANTIATE_TEST_SUITE_P(Bitsandbytes, FourBitCheckpoint, testing::ValuesIn(cases(false)), name_of);
INSTANTIATE_TEST_SUITE_P(Bitsandbytes, Int8Checkpoint, testing::ValuesIn(cases(true)), name_of);

}  // namespace
}  // namespace pkv
