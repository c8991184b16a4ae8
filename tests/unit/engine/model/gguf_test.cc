// What a GGUF file's metadata says of its model beside weights: what ends a text, what a saved past is tied to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "engine/model/gguf/source.h"
#include "engine/model/model.h"
#include "engine/model/open_source.h"
#include "engine/model/past_file.h"
#include "engine/model/past_identity.h"
#include "support/gguf_models.h"
#include "support/shell.h"

namespace pkv::model {
namespace {

using support::GgufBytes;
using support::LittleLlama;
using testing::AllOf;
using testing::HasSubstr;

class Gguf : public testing::Test {
 protected:
  std::filesystem::path put(const LittleLlama& llama, const std::string& name = "m.gguf") {
    const std::filesystem::path path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << llama.bytes();
    return path;
  }
  std::string ends(const LittleLlama& llama) {
    const GgufSource source = GgufSource::open(put(llama));
    return source.generation_config()->json().find("eos_token_id")->dump();
  }
  Model load_file(const LittleLlama& llama, const std::string& name = "m.gguf", const LoadOptions& options = {}) {
    return load(open_source(put(llama, name)), backend_, options);
  }
  // Of all tokens, fed `piece` at a time.
  static std::vector<float> logits(const Model& model, std::size_t piece = 16) {
    const std::vector<std::int32_t> ids{1, 3, 4, 5, 7, 6, 4, 4, 3};
    Past past = model.new_past();
    std::vector<float> all;
    for (std::size_t at = 0; at < ids.size(); at += piece) {
      const Feed feed{.ids = std::span(ids).subspan(at, std::min(piece, ids.size() - at)), .past = &past};
      const Logits some = model.forward({&feed, 1});
      all.insert(all.end(), some.span<float>().begin(), some.span<float>().end());
    }
    return all;
  }

  support::TemporaryFolder folder_;
  const kernels::Backend backend_{"cpu", 1};
};

TEST_F(Gguf, ATextEndsAtControlTokensOfTheseNamesToo) {
  LittleLlama llama;
  EXPECT_EQ(ends(llama), "[2,8,9]");
  llama.kinds[8] = 1;  // a word like any other
  EXPECT_EQ(ends(llama), "[2,9]");
  llama.kinds[8] = 3;
  llama.tokens[8] = "<|return|>";  // of a model whose parts end with <|end|>
  EXPECT_EQ(ends(llama), "[2,8]");
  llama.more = [](GgufBytes& file) { file.number("tokenizer.ggml.eot_token_id", 7u); };
  EXPECT_EQ(ends(llama), "[2,7,8]");
}

TEST_F(Gguf, ASavedPastIsTiedToTheTokenizer) {
  const auto tokenizer = [&](const LittleLlama& llama) {
    return identity_of(load_file(llama), {.threads = 1}).tokenizer;
  };
  const LittleLlama llama;
  const std::string mine = tokenizer(llama);
  EXPECT_NE(mine, "none");
  LittleLlama other = llama;
  other.tokens[5] = "c";
  EXPECT_NE(tokenizer(other), mine);
  other = llama;
  other.more = [](GgufBytes& file) { file.flag("tokenizer.ggml.add_bos_token", false); };
  EXPECT_NE(tokenizer(other), mine);
  other.more = [](GgufBytes& file) { file.text("tokenizer.chat_template", "{{ messages }}"); };
  EXPECT_EQ(tokenizer(other), mine);  // which changes no ids
}

TEST_F(Gguf, APastOfAFileWithAnotherTokenizerIsRefused) {
  LittleLlama llama;
  const Model first = load_file(llama, "a.gguf");
  llama.tokens[5] = "c";
  const Model second = load_file(llama, "b.gguf");
  const std::vector<std::int32_t> ids{1, 3, 4, 5};
  Past past = first.new_past();
  const Feed feed{.ids = ids, .past = &past};
  first.forward({&feed, 1});
  const std::filesystem::path saved = folder_.path() / "p.safetensors";
  save_past(saved, first, past);
  EXPECT_NO_THROW(require_fit(open_past(saved), first));
  try {
    require_fit(open_past(saved), second);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("another tokenizer"));
  }
}

// Rows of queries and keys lie ordered by pairs. Where products put outputs in their places, and where rows are copied
// into order since they are decoded, the definition's sums are the same.
TEST_F(Gguf, RowsThatAConverterMovedAreUsedWhereTheyLie) {
  const kernels::Backend naive("naive", 1);
  for (const std::uint32_t type : {0u, 8u}) {
    const LittleLlama llama{.matrices = type};
    const Model mapped = load(open_source(put(llama)), naive, {.past_dtype = DType::f32});
    const Model copied = load(open_source(put(llama)), naive, {.dtype = DType::f32, .decode = true});
    EXPECT_EQ(logits(mapped), logits(copied));
  }
}

TEST_F(Gguf, ActivationsMayBeRoundedAsLlamaCppRoundsThem) {
  const LittleLlama llama{.matrices = 8};
  const Model exact = load_file(llama, "m.gguf"), coarse = load_file(llama, "m.gguf", {.as_ggml = true});
  const std::vector<float> a = logits(exact), b = logits(coarse);
  ASSERT_EQ(a.size(), b.size());
  float most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  EXPECT_GT(most, 0);
  EXPECT_LT(most, 0.05f);
  EXPECT_EQ(b, logits(coarse, 1));  // the row law holds all the same
  EXPECT_EQ(b, logits(coarse, 4));
  EXPECT_NE(identity_of(exact, {.threads = 1}).format, identity_of(coarse, {.threads = 1}).format);
  try {
    load_file({}, "plain.gguf", {.as_ggml = true});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::usage);
    EXPECT_THAT(e.what(), AllOf(HasSubstr("expected: matrices in Q4_K"), HasSubstr("fp32")));
  }
}

}  // namespace
}  // namespace pkv::model
