#include "text/bpe.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"
#include "toys.h"

namespace pkv::text {
namespace {

Vocab vocab_of(std::initializer_list<std::string_view> tokens) {
  Vocab v;
  std::int32_t id = 0;
  for (const std::string_view t : tokens) EXPECT_TRUE(v.add(t, id++));
  EXPECT_FALSE(v.close());
  return v;
}

TEST(Vocabulary, FindsBothWaysWithGapsAndKnowsTwins) {
  Vocab v;
  EXPECT_TRUE(v.add("b", 7));
  EXPECT_TRUE(v.add("a", 2));
  EXPECT_TRUE(v.add("", 5));
  EXPECT_FALSE(v.add("a", 9));
  EXPECT_FALSE(v.close());
  EXPECT_EQ(v.size(), 3);
  EXPECT_EQ(v.id("b"), 7);
  EXPECT_EQ(v.id(""), 5);
  EXPECT_EQ(v.id("c"), std::nullopt);
  EXPECT_EQ(v.token(2), "a");
  EXPECT_EQ(v.token(7), "b");
  EXPECT_EQ(v.token(0), std::nullopt);
  EXPECT_EQ(v.token(-1), std::nullopt);
  Vocab twins;
  twins.add("x", 4);
  twins.add("y", 4);
  EXPECT_EQ(twins.close(), 4);
}

// The definition: again and again the pair of lowest rank, the leftmost first.
Ids merged_naively(const Bpe& bpe, std::string_view word) {
  Ids ids;
  for (std::size_t i = 0; i < word.size(); ++i) ids.push_back(*bpe.vocab.id(word.substr(i, 1)));
  while (true) {
    const Merges::Rule* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const Merges::Rule* rule = bpe.merges.find(ids[i], ids[i + 1]);
      if (rule != nullptr && (best == nullptr || rule->rank < best->rank)) best = rule, at = i;
    }
    if (best == nullptr) return ids;
    ids[at] = best->merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(Merging, RulesAreFoundHoweverManyThereAre) {
  Merges merges;
  for (std::int32_t i = 0; i < 5000; ++i) merges.set(i, i * 7, {static_cast<std::uint32_t>(i), i + 1});
  merges.set(4, 28, {99, 100});
  for (std::int32_t i = 0; i < 5000; ++i) {
    ASSERT_NE(merges.find(i, i * 7), nullptr);
    EXPECT_EQ(merges.find(i, i * 7)->merged, i == 4 ? 100 : i + 1);
    EXPECT_EQ(merges.find(i, i * 7 + 1), nullptr);
  }
}

// Pairs that a multiplication with a constant everybody knows (that of the golden ratio) and a shift send to one slot
// of any table. There they would be looked up one after the other, for longer than a test may take.
TEST(Merging, CraftedPairsAreFoundAsFastAsOthers) {
  constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15;
  std::uint64_t inverse = kFactor;  // Newton's iteration doubles the bits that are right, of which there are 3
  for (int i = 0; i < 5; ++i) inverse *= 2 - kFactor * inverse;
  ASSERT_EQ(kFactor * inverse, 1);
  Merges merges;
  std::uint32_t count = 0;
  const auto each = [&](const auto& body) {
    for (std::uint64_t half = 0; half < 4'000'000; ++half) {
      const std::uint64_t pair = (half << 32 | half) * inverse;
      if ((pair & 0x8000'0000'8000'0000) == 0)
        body(static_cast<std::int32_t>(pair >> 32), static_cast<std::int32_t>(pair));
    }
  };
  each([&](std::int32_t left, std::int32_t right) { merges.set(left, right, {count++, 7}); });
  EXPECT_GT(count, 900'000);
  std::uint32_t found = 0;
  each([&](std::int32_t left, std::int32_t right) { found += merges.find(left, right)->rank == found ? 1 : 0; });
  EXPECT_EQ(found, count);
}

TEST(Merging, EqualsItsDefinitionOnRandomWords) {
  Bpe bpe;
  bpe.vocab = vocab_of({"a", "b", "c", "ab", "bc", "aa", "aab", "abc", "caa", "aaaa", "bcaab", "abab"});
  const auto rule = [&](std::uint32_t rank, std::string_view l, std::string_view r) {
    bpe.merges.set(*bpe.vocab.id(l), *bpe.vocab.id(r), {rank, *bpe.vocab.id(std::string(l) + std::string(r))});
  };
  rule(0, "b", "c"), rule(1, "a", "a"), rule(2, "a", "b"), rule(3, "aa", "b"), rule(4, "ab", "c"), rule(5, "c", "aa");
  rule(6, "aa", "aa"), rule(7, "bc", "aab"), rule(8, "ab", "ab");
  bpe.prepare();
  BpeEncoder encoder(bpe, 1 << 20);
  for (std::uint64_t i = 0; i < 3000; ++i) {
    std::string word;
    const std::uint64_t length = 1 + random_bits(5, i) % (i % 10 == 0 ? 200 : 12);
    for (std::uint64_t k = 0; k < length; ++k) word += static_cast<char>('a' + random_bits(i, k) % 3);
    Ids ids;
    encoder.encode(word, ids);
    ASSERT_EQ(ids, merged_naively(bpe, word)) << word;
    ids.clear();
    encoder.encode(word, ids);  // from the cache
    ASSERT_EQ(ids, merged_naively(bpe, word)) << word;
  }
}

TEST(Model, TextThatIsNotUtf8IsRefused) {
  const Tokenizer t = toy();
  EXPECT_EQ(error_of([&] { t.encode("ab\xff"); }), "offset 2: the text is not UTF-8\n  found:    byte 0xFF");
  EXPECT_EQ(error_of([&] { t.encode("\xe4\xb8"); }), "offset 0: the text is not UTF-8\n  found:    byte 0xE4");
}

TEST(Model, UnknownCharactersAreDroppedWithoutAnUnknownToken) {
  EXPECT_EQ(toy().encode("axb"), Ids{2}) << "dropped before merging";
}

TEST(Model, UnknownTokensFusedOrNot) {
  const auto with = [](std::string_view options) {
    return Tokenizer::parse(
        joined({R"({"model":{"vocab":{"a":0,"<unk>":1},"merges":[],"unk_token":"<unk>")", options, "}}"}));
  };
  EXPECT_EQ(with("").encode("axya"), (Ids{0, 1, 1, 0}));
  EXPECT_EQ(with(R"(,"fuse_unk":true)").encode("axyaz"), (Ids{0, 1, 0, 1}));
}

TEST(Model, AMissingUnknownTokenIsAnErrorOnlyWhenNeeded) {
  const Tokenizer t = toy("", R"(,"unk_token":"<unk>")");
  EXPECT_EQ(t.encode("ab"), Ids{2});
  EXPECT_NE(error_of([&] { t.encode("x"); }).find("model.unk_token '<unk>'"), std::string::npos);
}

TEST(Model, BytesStandInForUnknownCharactersIfAllAreThere) {
  const Tokenizer t = Tokenizer::parse(
      R"({"model":{"vocab":{"a":0,"<unk>":1,"<0xC3>":2,"<0xA9>":3},"merges":[],"unk_token":"<unk>","byte_fallback":true},
          "decoder":{"type":"ByteFallback"}})");
  EXPECT_EQ(t.encode("aéa"), (Ids{0, 2, 3, 0}));
  EXPECT_EQ(t.encode("è"), Ids{1});
  EXPECT_EQ(t.decode(Ids{0, 2, 3, 0}), "aéa");
  EXPECT_EQ(t.decode(Ids{2, 2, 3}), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") << "one for each byte of a broken run";
}

TEST(Model, IgnoreMergesTakesWholeWordsFirst) {
  const std::string json = R"({"model":{"vocab":{"a":0,"b":1,"c":2,"ab":3,"abc":4},"merges":["a b"],"ignore_merges":)";
  EXPECT_EQ(Tokenizer::parse(json + "false}}").encode("abc"), (Ids{3, 2}));
  EXPECT_EQ(Tokenizer::parse(json + "true}}").encode("abc"), Ids{4});
}

TEST(Model, PrefixInsideWordsAndSuffixAtTheirEnds) {
  const Tokenizer t = Tokenizer::parse(
      R"({"model":{"vocab":{"a":0,"##b":1,"##c</w>":2,"ab":3,"a</w>":4,"abc</w>":5},"merges":["a ##b","ab ##c</w>"],
          "continuing_subword_prefix":"##","end_of_word_suffix":"</w>"},"pre_tokenizer":{"type":"Whitespace"}})");
  EXPECT_EQ(t.encode("abc a"), (Ids{5, 4}));
}

TEST(Model, TheLastOfTwoRulesForAPairCounts) {
  const Tokenizer t =
      Tokenizer::parse(R"({"model":{"vocab":{"a":0,"b":1,"ab":2,"ba":3},"merges":["a b","b a","a b"]}})");
  EXPECT_EQ(t.encode("aba"), (Ids{0, 3}));
}

// These take seconds of the processor even under the sanitizers. Anything quadratic would take hours, and ctest's limit
// would end it.
constexpr std::size_t kMegabyte = 1 << 20;

std::string repeated(std::string_view part, std::size_t size) {
  std::string text;
  while (text.size() < size) text += part;
  return text;
}

void expect_round_trip(const Tokenizer& t, const std::string& text) {
  EXPECT_TRUE(t.decode(t.encode(text)) == text) << text.substr(0, 8) << "...";
}

Tokenizer llama3_toy() {
  return byte_toy(
      R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":
"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})");
}

TEST(LinearTime, OneMegabyteWord) { expect_round_trip(byte_toy(kByteLevel), repeated("a", kMegabyte)); }

TEST(LinearTime, OneMegabyteOfSpaces) {
  for (const Tokenizer& t : {byte_toy(kByteLevel), llama3_toy()}) {
    expect_round_trip(t, repeated(" ", kMegabyte) + "x");
    expect_round_trip(t, repeated("\n", kMegabyte) + "x");
  }
}

TEST(LinearTime, LongTextsOfEveryKind) {
  for (const Tokenizer& t : {byte_toy(kByteLevel), llama3_toy()}) {
    for (const std::string_view part : {"ab", "7", "!", "\u00e9", "a ", " \n", "\n ", "\u3000", "'s", "e\u0301"}) {
      expect_round_trip(t, repeated(part, kMegabyte / 8));
    }
  }
}

TEST(LinearTime, LongTextsThroughEveryNormaliser) {
  const std::string normalizer =
      R"(,"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"NFKC"},{"type":"Lowercase"},
      {"type":"Replace","pattern":{"Regex":"z+"},"content":"y"},{"type":"Prepend","prepend":"_"}]})";
  const Tokenizer t = byte_toy(kByteLevel, normalizer);
  for (const std::string_view part : {"a", "\u0301\u0323", "\u0f73", "\ufdfa", "A\u030a", "\u1100\u1161"}) {
    EXPECT_FALSE(t.encode(repeated(part, kMegabyte / 4)).empty()) << part;
  }
}

TEST(LinearTime, AddedTokensThatEatWhiteSpace) {
  const Tokenizer t = toy(R"(,"added_tokens":[{"id":3,"content":" ","single_word":false,"lstrip":true,"rstrip":true,
      "normalized":false,"special":false}])");
  EXPECT_EQ(t.encode(std::string(1 << 20, ' ')), (Ids{3})) << "the others lie within the white space of the first";
}

TEST(Threads, ShareATokenizer) {
  const Tokenizer t = byte_toy(kByteLevel);
  const std::string text = "the same aaaa text for   everybody, \u4e2d\U0001f600 1234 times";
  const Ids expected = t.encode(text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([&, k] {
      for (int i = 0; i < 50; ++i) wrong[k] += t.encode(text) != expected || t.decode(expected) != text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

}  // namespace
}  // namespace pkv::text
