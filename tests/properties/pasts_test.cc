// Saved pasts: what continues from a file gets the bits of what never stopped, in every format of weights and past.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/file.h"
#include "engine/model/past_file.h"
#include "support/models.h"
#include "support/shell.h"

namespace pkv {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int32_t>;

constexpr std::int64_t kLengths[] = {63, 64, 65, 127, 128, 129, 1, 2, 62, 66, 100, 126, 130};

struct Format {
  std::string name;
  model::LoadOptions options;
};

std::vector<Format> formats() {
  std::vector<Format> all;
  for (const DType weights : {DType::f32, DType::f16, DType::bf16}) {
    all.push_back({std::string(name_of(weights)), {.dtype = weights}});
  }
  for (const quant::Format format : {quant::Format::int8, quant::Format::nf4}) {
    all.push_back({std::string(quant::name_of(format)), {.quantize = model::Quantize{.format = format}}});
  }
  return all;
}

// A text fed at once, and the same text interrupted after `saved` tokens.
struct Interrupted {
  const model::Model& m;
  const fs::path file;
  const std::string what;
  const Ids ids;
  const std::vector<float> all;

  Interrupted(const model::Model& model, fs::path to, std::string name, std::int64_t tokens)
      : m(model),
        file(std::move(to)),
        what(std::move(name)),
        ids(support::random_ids(5, tokens, m.card().vocab)),
        all(fed(m.new_past())) {}

  // The logits of the rest of the text.
  std::vector<float> fed(model::Past past) const {
    return support::feed(m, past, std::span(ids).subspan(static_cast<std::size_t>(past.length())));
  }
  void expect_same(model::Past past, const char* how) const {
    const auto first = static_cast<std::size_t>(past.length() * m.card().vocab);
    const auto rest = fed(std::move(past));
    ASSERT_EQ(first + rest.size(), all.size());
    EXPECT_EQ(std::memcmp(rest.data(), all.data() + first, rest.size() * sizeof(float)), 0) << what << ": " << how;
  }
  model::Past begun(std::int64_t tokens) const {
    model::Past past = m.new_past();
    support::feed(m, past, std::span(ids).first(static_cast<std::size_t>(tokens)));
    return past;
  }
  model::Past restored() const { return model::restore_past(file, m, ids).past; }
};

void expect_continues(const Interrupted& run, std::int64_t saved) {
  model::save_past(run.file, run.m, run.begun(saved));
  ASSERT_EQ(run.restored().length(), saved) << run.what;
  run.expect_same(run.restored(), "restored");
  model::Past past = run.restored();
  run.expect_same(past.fork(), "the fork of a restored past");
  run.expect_same(past.fork(), "another fork of it");
  const auto back = static_cast<std::int64_t>(random_bits(7, static_cast<std::uint64_t>(saved)) %
                                              static_cast<std::uint64_t>(saved + 1));
  past.truncate(back);
  run.expect_same(std::move(past), "a restored past, rewound");
  const std::string first = read_file(run.file, UINT64_MAX);
  model::Past further = run.begun(std::ssize(run.ids));
  further.truncate(saved);
  model::save_past(run.file, run.m, further);
  EXPECT_TRUE(read_file(run.file, UINT64_MAX) == first) << run.what << ": what was rewound is in the file";
  model::save_past(run.file, run.m, run.restored());
  EXPECT_TRUE(read_file(run.file, UINT64_MAX) == first) << run.what << ": saved, restored and saved again";
}

class Pasts : public testing::TestWithParam<std::string> {
 protected:
  support::TemporaryFolder folder_;
};

// Plain loops are slow: with them, and under lesser instruction sets, each format of weights meets one of the past's.
TEST_P(Pasts, ContinueWithTheSameBits) {
  const bool slow = support::is_slow(GetParam()), some = slow || support::under_lesser_set();
  std::size_t turn = 0, tried = 0;
  for (const fs::path& folder : support::model_folders(support::source() / "models")) {
    if (!model::inspect(hf::Folder::open(folder)).card.causal) continue;
    for (const Format& format : formats()) {
      for (const DType kept : {DType::f32, DType::f16, DType::bf16}) {
        if (some && ++tried % 4 != 0) continue;
        model::LoadOptions options = format.options;
        options.past_dtype = kept;
        const model::Model m = support::load(folder, GetParam(), 2, options);
        const std::int64_t saved = kLengths[turn++ % (slow ? 3 : std::size(kLengths))];
        const Interrupted run(m, folder_.path() / "past",
                              fmt::format("{} {} past {} {} after {}", folder.filename().string(), format.name,
                                          name_of(kept), GetParam(), saved),
                              slow ? 67 : 133);
        expect_continues(run, saved);
      }
    }
  }
  EXPECT_GE(turn, some ? 11u : 45u);
}

INSTANTIATE_TEST_SUITE_P(Tables, Pasts, testing::Values("cpu", "naive", "cuda-model"),
                         [](const auto& table) { return support::test_name(table.param); });

}  // namespace
}  // namespace pkv
