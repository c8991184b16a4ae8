// Models whose matrices lie in ggml's formats, used as they lie in the file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/model/past_file.h"
#include "support/far_table.h"
#include "support/in_blocks.h"
#include "support/models.h"

namespace pkv::model {
namespace {

using quant::Format;
using support::InBlocks;
using testing::AllOf;
using testing::HasSubstr;

// Rows of 96 are in the second format, those of 256 in the first.
const std::vector<Format> kMixture{Format::q6_k, Format::q5_0};

std::vector<float> logits_of(std::unique_ptr<InBlocks> source, const kernels::Backend& backend,
                             const LoadOptions& options = {}) {
  const Model model = load(std::move(source), backend, options);
  Past past = model.new_past();
  return support::feed(model, past, support::random_ids(7, 9, model.card().vocab));
}

TEST(InBlocks, LogitsAreThoseOfTheDecodedValues) {
  const auto options = LoadOptions{.past_dtype = DType::f32};
  for (const char* model : {"tiny-qwen3", "tiny-falcon", "tiny-mpt"}) {
    const kernels::Backend naive("naive", 1);
    const auto want = logits_of(std::make_unique<InBlocks>(model, kMixture, true), naive, options);
    EXPECT_EQ(logits_of(std::make_unique<InBlocks>(model, kMixture), naive, options), want) << model;
    const kernels::Backend far(support::far::ops(), 1);
    EXPECT_EQ(logits_of(std::make_unique<InBlocks>(model, kMixture), far, options), want) << model;
    const auto decoded = LoadOptions{.dtype = DType::f32, .past_dtype = DType::f32, .decode = true};
    EXPECT_EQ(logits_of(std::make_unique<InBlocks>(model, kMixture), naive, decoded), want) << model;
  }
}

TEST(InBlocks, WhatTheyAmountTo) {
  // Rows of 144 are whole blocks of nothing: they stay in fp32, and so do keys and values.
  const InBlocks qwen3("tiny-qwen3", kMixture), falcon("tiny-falcon", kMixture);
  EXPECT_EQ(inspect(qwen3).weights.describe(), "Q5_0, Q6_K");
  EXPECT_EQ(inspect(qwen3).past_dtype, DType::f32);
  const Inspection seen = inspect(falcon);
  EXPECT_EQ(seen.weights.describe(), "Q5_0");
  EXPECT_EQ(seen.past_dtype, DType::f16) << "nothing in the file says it";
  std::size_t bytes = 0;
  for (const containers::Tensor& t : falcon.tensors()) bytes += t.format ? t.data.size() : 0;
  EXPECT_EQ(seen.weights.bytes, bytes);
  EXPECT_EQ(seen.weights.products.bytes + seen.weights.output_product.bytes, bytes) << "tied: read as a product too";
}

TEST(InBlocks, WhatCannotBeIsRefused) {
  const auto error = [](auto change) -> std::string {
    auto source = std::make_unique<InBlocks>("tiny-qwen3", kMixture);
    change(*source);
    try {
      inspect(*source);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  EXPECT_THAT(error([&](InBlocks& s) {
                s.at(name).shape = {96, 512};
              }),
              AllOf(HasSubstr(name), HasSubstr("[96, 256]"), HasSubstr("[96, 512]")));
  EXPECT_THAT(error([&](InBlocks& s) { s.at(name).data = s.at(name).data.first(100); }),
              AllOf(HasSubstr(name), HasSubstr("20160 bytes"), HasSubstr("100 bytes")));
  EXPECT_THAT(error([&](InBlocks& s) { s.at("model.embed_tokens.weight").format = Format::q4_k; }),
              AllOf(HasSubstr("embed_tokens"), HasSubstr("a multiple of 256"), HasSubstr("rows of 96")));
  EXPECT_THAT(error([&](InBlocks& s) { s.at("model.norm.weight").format = Format::q8_0; }),
              AllOf(HasSubstr("model.norm.weight"), HasSubstr("Q8_0")));
}

// The row law, where matrices of one model have several formats, with and without minima.
TEST(InBlocks, HowTheyAreFedMakesNoDifference) {
  const kernels::Backend cpu("cpu", 2);
  for (const auto& [name, formats] : std::vector<std::pair<const char*, std::vector<Format>>>{
           {"tiny-qwen3", kMixture}, {"tiny-qwen3", {Format::q4_k, Format::q4_1}}, {"tiny-falcon", {Format::q8_0}}}) {
    const Model model = load(std::make_unique<InBlocks>(name, formats), cpu, {});
    const auto ids = support::random_ids(3, 40, model.card().vocab);
    Past whole = model.new_past(), stepwise = model.new_past();
    const std::vector<float> want = support::feed(model, whole, ids);
    std::vector<float> got;
    for (std::size_t at = 0; at < ids.size();) {
      const std::size_t n = std::min<std::size_t>(ids.size() - at, at == 0 ? 27 : at % 5 + 1);
      const auto part = support::feed(
          model, stepwise,
          {ids.begin() + static_cast<std::ptrdiff_t>(at), ids.begin() + static_cast<std::ptrdiff_t>(at + n)});
      got.insert(got.end(), part.begin(), part.end());
      at += n;
    }
    ASSERT_EQ(got.size(), want.size());
    EXPECT_TRUE(got == want) << name << " in " << model.weights().describe();
  }
}

// A saved past is of these blocks alone: not of others, and not of what they stand for.
TEST(InBlocks, SavedPastsAreOfTheseBlocks) {
  const auto file = std::filesystem::path(testing::TempDir()) / "blocks.pkvpast";
  const kernels::Backend cpu("cpu", 1);
  const auto past_of = [&](std::unique_ptr<InBlocks> source) {
    return load(std::move(source), cpu, {.past_dtype = DType::f32});
  };
  const Model model = past_of(std::make_unique<InBlocks>("tiny-qwen3", kMixture));
  const auto ids = support::random_ids(3, 9, model.card().vocab);
  Past past = model.new_past();
  support::feed(model, past, ids);
  save_past(file, model, past);
  EXPECT_EQ(restore_past(file, model, ids, {.hash_weights = true}).common, 9);
  const auto error = [&](std::unique_ptr<InBlocks> source) -> std::string {
    try {
      restore_past(file, past_of(std::move(source)), ids, {.hash_weights = true});
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  auto other = std::make_unique<InBlocks>("tiny-qwen3", kMixture);
  containers::Tensor& t = other->at("model.layers.0.mlp.down_proj.weight");
  std::vector<std::byte> changed(t.data.begin(), t.data.end());
  changed[5] ^= std::byte{1};
  t.data = changed;
  EXPECT_THAT(error(std::move(other)), HasSubstr("other weights"));
  EXPECT_THAT(error(std::make_unique<InBlocks>("tiny-qwen3", kMixture, true)), HasSubstr("another format"));
  std::filesystem::remove(file);
}

TEST(InBlocks, AreNotQuantisedAnew) {
  const kernels::Backend naive("naive", 1);
  try {
    load(std::make_unique<InBlocks>("tiny-qwen3", kMixture), naive, {.quantize = Quantize{}});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("quantised already"), HasSubstr("Q5_0"), HasSubstr("--load-in")));
  }
}

}  // namespace
}  // namespace pkv::model
