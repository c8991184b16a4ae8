// Tokenizers of a GGUF file's metadata, made by hand.
#include "text/gguf/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <limits>
#include <set>

#include "base/error.h"
#include "support/gguf_bytes.h"
#include "support/shell.h"
#include "text/text.h"

namespace pkv::text {
namespace {

using support::GgufBytes;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint32_t kU8 = 0, kI32 = 5, kF32 = 6;
using Kinds = std::vector<std::int32_t>;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte

class GgufTokenizer : public testing::Test {
 protected:
  Tokenizer load(const GgufBytes& file) {
    const std::filesystem::path path = folder_.path() / "m.gguf";
    std::ofstream(path, std::ios::binary) << file.bytes();
    return Tokenizer::load(path);
  }
  std::vector<std::int32_t> ids(const GgufBytes& file, const std::string& text) { return load(file).encode(text); }
  std::string refusal(const GgufBytes& file) {
    try {
      load(file);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), Error::Kind::load);
      return e.what();
    }
    return "no error";
  }

  support::TemporaryFolder folder_;
};

// Bytes in the alphabet of GPT-2: \u0120 is a space.
GgufBytes byte_level(
    const std::string& pre, const std::function<void(GgufBytes&)>& more = [](GgufBytes&) {}) {
  GgufBytes file;
  file.text("tokenizer.ggml.model", "gpt2");
  if (!pre.empty()) file.text("tokenizer.ggml.pre", pre);
  file.texts("tokenizer.ggml.tokens", {"<|end|>", "a", "b", "\u0120", "1", "2", "ab", "12", "\u0120ab", "<u>", "bb"});
  file.numbers<std::int32_t>("tokenizer.ggml.token_type", kI32, Kinds{3, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1});
  file.texts("tokenizer.ggml.merges", {"a b", "1 2", "\u0120 ab"});
  file.number("tokenizer.ggml.bos_token_id", 0u);
  more(file);
  return file;
}

TEST_F(GgufTokenizer, CutsWordsAsPreNamesIt) {
  EXPECT_THAT(ids(byte_level("gpt-2"), "ab ab12"), ElementsAre(6, 8, 7));
  EXPECT_THAT(ids(byte_level("smollm"), "ab ab12"), ElementsAre(6, 8, 4, 5));  // digits are words of their own
  EXPECT_THAT(ids(byte_level("qwen2"), "12"), ElementsAre(4, 5));
  // Of llama3 digits stay together, a text begins with the first token, and a word that is a token needs no merges.
  EXPECT_THAT(ids(byte_level("llama-bpe"), "12"), ElementsAre(0, 7));
  EXPECT_THAT(ids(byte_level("llama-bpe"), "bb"), ElementsAre(0, 10));
  EXPECT_THAT(ids(byte_level("dbrx"), "bb"), ElementsAre(2, 2));
  EXPECT_THAT(ids(byte_level("seed-coder"), "12ab"), ElementsAre(4, 5, 6));
  EXPECT_THAT(ids(byte_level("tiny_aya"), "1212"), ElementsAre(4, 5, 7));  // threes from the right: 1, 212
}

// Each is a pipeline that can be built, and names are told apart.
TEST_F(GgufTokenizer, EveryWayOfCuttingGivesAllBytesBack) {
  const std::string names = known_pre_tokenizations();
  std::set<std::string> seen;
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t end = std::min(names.find(", ", at), names.size());
    const std::string name = names.substr(at, end - at);
    at = end + 2;
    EXPECT_TRUE(seen.insert(name).second) << name << " twice";
    const Tokenizer t =
        load(byte_level(name, [](GgufBytes& file) { file.flag("tokenizer.ggml.add_bos_token", false); }));
    for (const char* text : {"ab 12ab", "a\u00b5b", "1212  ab"}) {
      std::string known(text);
      std::erase_if(known, [](char c) { return (c & 0x80) != 0; });
      EXPECT_EQ(t.decode(t.encode(text)), known) << name;
    }
  }
  EXPECT_GT(seen.size(), 60u);
}

TEST_F(GgufTokenizer, OldFilesDoNotSayHowAndAreReadWithANote) {
  EXPECT_THAT(load(byte_level("default")).notes(), ElementsAre(HasSubstr("does not say how text is cut")));
  EXPECT_THAT(load(byte_level("")).notes(), ElementsAre(HasSubstr("does not say how text is cut")));
  EXPECT_THAT(load(byte_level("gpt-2")).notes(), IsEmpty());
}

TEST_F(GgufTokenizer, RefusesAWayOfCuttingThatNobodyKnows) {
  EXPECT_THAT(refusal(byte_level("brand-new")), AllOf(HasSubstr("'brand-new'"), HasSubstr("tokenizer.ggml.pre"),
                                                      HasSubstr("llama-bpe"), HasSubstr("--ids")));
  EXPECT_THAT(refusal(byte_level("gpt-2 mpt")), HasSubstr("'gpt-2 mpt'"));  // words of one row of the table
}

TEST_F(GgufTokenizer, SpecialTokensAreCutOutFirst) {
  const Tokenizer t = load(byte_level("gpt-2"));
  EXPECT_THAT(t.encode("ab<|end|><u>ab"), ElementsAre(6, 0, 9, 6));
  EXPECT_TRUE(t.is_special(0));
  EXPECT_FALSE(t.is_special(9));  // of its user
  EXPECT_EQ(t.decode(std::vector<std::int32_t>{6, 0, 9}, true), "ab<u>");
}

TEST_F(GgufTokenizer, AddsWhatTheFlagsSay) {
  const auto flag = [](const char* name) { return [name](GgufBytes& file) { file.flag(name, true); }; };
  EXPECT_THAT(ids(byte_level("gpt-2", flag("tokenizer.ggml.add_bos_token")), "ab"), ElementsAre(0, 6));
  const auto both = [](GgufBytes& file) {
    file.flag("tokenizer.ggml.add_eos_token", true);
    file.number("tokenizer.ggml.eos_token_id", 9u);
  };
  EXPECT_THAT(ids(byte_level("gpt-2", both), "ab"), ElementsAre(6, 9));
  EXPECT_THAT(refusal(byte_level("gpt-2", flag("tokenizer.ggml.add_eos_token"))),
              HasSubstr("tokenizer.ggml.eos_token_id"));
  const auto off = [](GgufBytes& file) { file.flag("tokenizer.ggml.add_bos_token", false); };
  EXPECT_THAT(ids(byte_level("llama-bpe", off), "12"), ElementsAre(7));
}

TEST_F(GgufTokenizer, RefusesIdsOfNoToken) {
  const auto beyond = [](GgufBytes& file) { file.number("tokenizer.ggml.eos_token_id", 11u); };
  EXPECT_THAT(refusal(byte_level("gpt-2", beyond)),
              AllOf(HasSubstr("eos_token_id"), HasSubstr("below 11"), HasSubstr("11")));
}

TEST_F(GgufTokenizer, RefusesMergesThatAreNone) {
  for (const char* merge : {"ab", " a", "a "}) {
    GgufBytes file;
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", "gpt-2");
    file.texts("tokenizer.ggml.tokens", {"a", "b", "ab"});
    file.texts("tokenizer.ggml.merges", {"a b", merge});
    EXPECT_THAT(refusal(file), HasSubstr("merge 1")) << merge;
  }
}

// SentencePiece's pairs by score.
struct ByScore {
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>", "<0x0A>", "<0xC3>",  "<0xA4>", "\u2581",
                                  "a",     "b",   "ab",   "ba",     "\u2581a", "<u>"};
  std::vector<float> scores{0, 0, 0, 0, 0, 0, -9, -9, -9, -2, -1, -3, 0};
  Kinds kinds{2, 3, 3, 6, 6, 6, 1, 1, 1, 1, 1, 1, 4};

  GgufBytes file(const std::function<void(GgufBytes&)>& more = [](GgufBytes&) {}) const {
    GgufBytes file;
    file.text("tokenizer.ggml.model", "llama");
    file.texts("tokenizer.ggml.tokens", tokens);
    file.numbers("tokenizer.ggml.scores", kF32, scores);
    file.numbers("tokenizer.ggml.token_type", kI32, kinds);
    file.number("tokenizer.ggml.bos_token_id", 1u);
    file.number("tokenizer.ggml.eos_token_id", 2u);
    file.number("tokenizer.ggml.unknown_token_id", 0u);
    more(file);
    return file;
  }
  static void no_prefix(GgufBytes& file) { file.flag("tokenizer.ggml.add_space_prefix", false); }
};

TEST_F(GgufTokenizer, MergesPairsByScore) {
  // ba has the better score, wherever it stands; of two equal pairs the left one is merged.
  EXPECT_THAT(ids(ByScore().file(ByScore::no_prefix), "aba"), ElementsAre(1, 7, 10));
  EXPECT_THAT(ids(ByScore().file(ByScore::no_prefix), "abab"), ElementsAre(1, 7, 10, 8));
  EXPECT_THAT(ids(ByScore().file(), "ab"), ElementsAre(1, 6, 9));  // a mark before the text; ab before \u2581a
  EXPECT_THAT(ids(ByScore().file(), "a"), ElementsAre(1, 11));
  EXPECT_EQ(load(ByScore().file()).decode(std::vector<std::int32_t>{11, 9, 6, 8}), "aab b");
}

TEST_F(GgufTokenizer, WhatIsNoTokenBecomesBytes) {
  EXPECT_THAT(ids(ByScore().file(ByScore::no_prefix), "a\n\u00e4"), ElementsAre(1, 7, 3, 4, 5));
  EXPECT_THAT(ids(ByScore().file(ByScore::no_prefix), "a<u>b"), ElementsAre(1, 7, 12, 8));
  ByScore without;
  for (int i = 3; i < 6; ++i)
    without.kinds[static_cast<std::size_t>(i)] = 1, without.tokens[static_cast<std::size_t>(i)] += 'x';
  EXPECT_THAT(ids(without.file(ByScore::no_prefix), "\u00e4"), ElementsAre(1, 0));
}

TEST_F(GgufTokenizer, RefusesListsThatDoNotMatch) {
  ByScore few;
  few.scores.pop_back();
  EXPECT_THAT(refusal(few.file()), AllOf(HasSubstr("tokenizer.ggml.scores"), HasSubstr("13"), HasSubstr("12")));
  few = {};
  few.kinds.pop_back();
  EXPECT_THAT(refusal(few.file()), HasSubstr("tokenizer.ggml.token_type"));
  few = {};
  few.kinds[7] = 7;
  EXPECT_THAT(refusal(few.file()), AllOf(HasSubstr("token_type"), HasSubstr("from 1 to 6")));
  few = {};
  few.tokens[9] = "a";
  EXPECT_THAT(refusal(few.file()), AllOf(HasSubstr("two pieces are 'a'"), HasSubstr("piece 9")));
  few = {};
  few.scores[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refusal(few.file()), AllOf(HasSubstr("scores"), HasSubstr("finite")));
  // Read as four bytes each, these would lie beyond the list.
  GgufBytes narrow;
  narrow.text("tokenizer.ggml.model", "llama");
  narrow.texts("tokenizer.ggml.tokens", {"a", "b"});
  narrow.numbers<std::uint8_t>("tokenizer.ggml.scores", kU8, {1, 2});
  EXPECT_THAT(refusal(narrow), AllOf(HasSubstr("scores"), HasSubstr("an array of f32")));
}

TEST_F(GgufTokenizer, OtherKindsAreRefusedByName) {
  for (const char* kind : {"t5", "bert", "rwkv"}) {
    GgufBytes file;
    file.text("tokenizer.ggml.model", kind);
    EXPECT_THAT(refusal(file), AllOf(HasSubstr(kind), HasSubstr("gpt2 or llama"), HasSubstr("--ids")));
  }
  GgufBytes none;
  none.text("tokenizer.ggml.model", "none");
  EXPECT_THAT(refusal(none), HasSubstr("no tokenizer"));
}

TEST_F(GgufTokenizer, TakesTheWholeTokenizerWhereTheFileHasIt) {
  const auto whole = [](GgufBytes& file) {
    file.text("tokenizer.huggingface.json",
              R"({"model":{"type":"BPE","vocab":{"x":0,"a":1},"merges":[]},"added_tokens":[]})");
  };
  EXPECT_THAT(ids(byte_level("nobody's", whole), "ax"), ElementsAre(1, 0));
}

}  // namespace
}  // namespace pkv::text
