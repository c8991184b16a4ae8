// A text that comes in parts has the ids of the whole: on every bundled tokenizer and every one made for the goldens,
// whatever the text and wherever it is cut.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "support/places.h"
#include "text/text.h"
#include "toys.h"

namespace pkv::text {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> tokenizer_folders() {
  std::vector<fs::path> found;
  for (const char* parent : {"models", "tests/golden/tokenizers"}) {
    for (const auto& entry : fs::directory_iterator(support::source() / parent)) {
      const bool any = std::ranges::any_of(std::array{"tokenizer.json", "merges.txt", "tokenizer.model", "tekken.json"},
                                           [&](const char* file) { return fs::exists(entry.path() / file); });
      if (any) found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// What lies at a cut matters, so these are short and many.
const std::vector<std::string> kShreds{" ",
                                       " ",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\n\n",
                                       "\r\n",
                                       "\t",
                                       "     ",
                                       " \n ",
                                       "\u00a0",
                                       "\u2003",
                                       "\u2028",
                                       "\u0085",
                                       "\u200b",
                                       "\x1c",
                                       "the",
                                       "a",
                                       "Once upon",
                                       "eat",
                                       "'s",
                                       "'ll",
                                       "'",
                                       "don't",
                                       ".",
                                       ",",
                                       "...",
                                       "!?",
                                       "-",
                                       "/",
                                       "(",
                                       ">>",
                                       "1",
                                       "234",
                                       "5678",
                                       "\u00bd",
                                       "\u0661",
                                       "e\u0301",
                                       "\u0301",
                                       "\u0308 ",
                                       " \u0301",
                                       "\u212b",
                                       "\u00e9",
                                       "\u03a3",
                                       "\u0130",
                                       "\u4e2d\u6587\u3002",
                                       "\u1100\u1161\u11a8",
                                       "\U0001f600",
                                       "\u200d",
                                       "\ufdfa",
                                       "\u00a8",
                                       "<s>",
                                       "</s>",
                                       "<mask>",
                                       "<|endoftext|>",
                                       "<|padding|>",
                                       "<|begin|>",
                                       ">>TITLE<<",
                                       "[L]",
                                       "[NR]",
                                       "[R]",
                                       "TITLE"};

std::string text_of(std::uint64_t seed, std::size_t shreds) {
  std::string text;
  for (std::uint64_t i = 0; i < shreds; ++i) text += kShreds[random_bits(seed, i) % kShreds.size()];
  return text;
}

Ids in_parts(const Tokenizer& tokenizer, std::string_view text, std::uint64_t seed, std::size_t longest, bool special) {
  Tokenizer::Reader reader(tokenizer, special);
  Ids ids;
  for (std::uint64_t i = 0; !text.empty(); ++i) {
    const std::size_t size = std::min<std::size_t>(text.size(), random_bits(seed, i) % (longest + 1));
    const Ids more = reader.push(text.substr(0, size));
    ids.insert(ids.end(), more.begin(), more.end());
    text.remove_prefix(size);
  }
  const Ids rest = reader.finish();
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

class TokenizerReader : public testing::TestWithParam<fs::path> {};

TEST_P(TokenizerReader, PartsGiveTheIdsOfTheWhole) {
  const Tokenizer tokenizer = Tokenizer::load(GetParam());
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    const std::string text = text_of(seed, 1 + seed % 60);
    const std::size_t longest = 1 + random_bits(seed, 1000) % 20;
    ASSERT_EQ(in_parts(tokenizer, text, seed + 1, longest, seed % 2 == 0), tokenizer.encode(text, seed % 2 == 0))
        << "seed " << seed << ", parts of up to " << longest << " bytes of:\n"
        << text;
  }
}

TEST_P(TokenizerReader, AWordMayBeLong) {
  const Tokenizer tokenizer = Tokenizer::load(GetParam());
  std::string text = "before ";
  for (int i = 0; i < 5000; ++i) text += "ab\u4e2d1";
  text += " behind";
  EXPECT_EQ(in_parts(tokenizer, text, 3, 4000, true), tokenizer.encode(text));
  EXPECT_EQ(in_parts(tokenizer, "", 3, 10, true), tokenizer.encode(""));
}

std::string name_of(const testing::TestParamInfo<fs::path>& info) {
  std::string name = info.param.filename().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return info.param.parent_path().filename() == "models" ? "bundled_" + name : name;
}

INSTANTIATE_TEST_SUITE_P(Folders, TokenizerReader, testing::ValuesIn(tokenizer_folders()), name_of);

Tokenizer bundled(const std::string& name) { return Tokenizer::load(support::source() / "models" / name); }

// Their words may depend on what is far away: normalisers that rewrite, lookbehind, tokens that look at neighbours.
const std::set<std::string> kUnproved{"llama",           "behaviors", "fused",   "added",        "gemma",
                                      "metaspace_first", "pieces",    "unigram", "unigram_bytes"};

TEST(Reader, HoldsNoMoreThanAWord) {
  for (const fs::path& folder : tokenizer_folders()) {
    const std::string name = folder.filename().string();
    if (kUnproved.contains(name)) continue;
    Tokenizer::Reader reader(Tokenizer::load(folder));
    EXPECT_TRUE(reader.streams()) << name;
    EXPECT_FALSE(reader.push("I like to eat").empty()) << name;
  }
}

// Llama 2's normaliser puts a mark in front of a text, and of what follows an added token, but not of what was cut.
TEST(Reader, PutsNoMarkInFrontOfWhatGoesOn) {
  const Tokenizer tokenizer = Tokenizer::parse(
      R"({"added_tokens":[{"id":9,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,)"
      R"("special":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},)"
      R"({"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"model":{"type":"BPE","vocab":{"▁":0,"a":1,"b":2,)"
      R"("▁a":3,"▁▁":4,"<s>":9},"merges":["▁ a","▁ ▁"]}})");
  ASSERT_TRUE(Tokenizer::Reader(tokenizer).streams());
  for (const std::string text : {"a b a", "a<s> a", "a<s>a b", " a  b", "<s> a<s> <s>a", "ab   a"}) {
    for (std::size_t size = 1; size <= text.size(); ++size) {
      Tokenizer::Reader reader(tokenizer);
      Ids ids;
      for (std::size_t at = 0; at < text.size(); at += size) {
        for (const std::int32_t id : reader.push(std::string_view(text).substr(at, size))) ids.push_back(id);
      }
      for (const std::int32_t id : reader.finish()) ids.push_back(id);
      EXPECT_EQ(ids, tokenizer.encode(text)) << text << " in parts of " << size;
    }
  }
}

TEST(Reader, HoldsEverythingWhereNothingIsProved) {
  for (const std::string& name : kUnproved) {
    Tokenizer::Reader reader(Tokenizer::load(support::source() / "tests/golden/tokenizers" / name));
    EXPECT_FALSE(reader.streams()) << name;
    EXPECT_TRUE(reader.push("I like to eat").empty()) << name;
  }
  EXPECT_FALSE(Tokenizer::Reader(toy("")).streams()) << "no pre-tokenizer: all of the text is one word";
}

TEST(Reader, SaysWhereTheTextIsNoUtf8) {
  Tokenizer::Reader reader(bundled("tiny-gpt2"));
  reader.push("I like to");
  reader.push(" e");
  try {
    reader.push("at\xff it all");
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::usage);
    EXPECT_EQ(e.text().where, "offset 13");
    EXPECT_EQ(e.text().found, "byte 0xFF");
  }
}

}  // namespace
}  // namespace pkv::text
