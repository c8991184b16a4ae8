// The parts of a tokenizer one by one: normalisers, pre-tokenisers, added tokens, post-processors, decoders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "base/utf8.h"
#include "text/normalizers.h"
#include "text/patterns.h"
#include "text/pretokenizers.h"
#include "text/trie.h"
#include "text/unicode.h"
#include "toys.h"

namespace pkv::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string normalized(std::string_view normalizer, std::string_view text) {
  const Json value = parse_json(normalizer, "normalizer");
  Line line{std::string(text)};
  EXPECT_TRUE(make_normalizer(JsonNode(value, "n"))->apply(line, kLongestText));
  return line.text;
}

std::vector<std::string> words(std::string_view pre_tokenizer, std::string_view text) {
  const Json value = parse_json(pre_tokenizer, "pre-tokenizer");
  Words w{std::string(text), {{0, text.size()}}, 1};
  make_pre_tokenizer(JsonNode(value, "p"))->apply(w);
  std::vector<std::string> found;
  for (std::size_t i = 0; i < w.spans.size(); ++i) found.emplace_back(w[i]);
  return found;
}

std::string split_on_dash(std::string_view behavior, bool invert = false) {
  return joined({R"({"type":"Split","pattern":{"String":"-"},"behavior":")", behavior, R"(","invert":)",
                 invert ? "true}" : "false}"});
}

TEST(Normalizers, Forms) {
  EXPECT_EQ(normalized(R"({"type":"NFC"})", "e\u0301 \ufb01 \u1100\u1161\u11a8 \u212b"), "é \ufb01 각 Å");
  EXPECT_EQ(normalized(R"({"type":"NFKC"})", "\ufb01 \u00bd \uff21 \u3392"), "fi 1\u20442 A MHz");
  EXPECT_EQ(normalized(R"({"type":"NFC"})", std::string("a\0b", 3)), std::string("a\0b", 3));
  EXPECT_EQ(normalized(R"({"type":"NFC"})", "a\u0301\u0323"), "\u1ea1\u0301") << "marks are ordered first";
}

// utf8proc's own ordering of marks is quadratic; ours must give the same.
TEST(Normalizers, LongRunsOfMarksAreOrdered) {
  std::string mixed = "a", above = "a", below = "a";
  for (int i = 0; i < 20000; ++i) mixed += "\u0301\u0323", above += i ? "\u0301" : "", below += i ? "\u0323" : "";
  const std::string expected = "\u1ea1" + below.substr(1) + above.substr(1) + "\u0301";
  EXPECT_TRUE(normalize(mixed, Form::nfc) == expected);
}

TEST(Normalizers, CharactersAfterUnicode9AreLeftAlone) {
  EXPECT_EQ(normalized(R"({"type":"NFKC"})", "\u32ff"), "\u32ff") << "the square era name Reiwa, of Unicode 12.1";
  EXPECT_EQ(normalized(R"({"type":"NFC"})", "e\u1ac1\u0301"), "e\u1ac1\u0301") << "U+1AC1 is no mark to the library";
}

TEST(Normalizers, LowercaseReplacePrependSequence) {
  EXPECT_EQ(normalized(R"({"type":"Lowercase"})", "ÀΣ İ ẞ \U00010400 \U00010d50"),
            "àσ i\u0307 ß \U00010428 \U00010d70");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"String":"a.b"},"content":"<>"})", "a.b axb"), "<> axb");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"Regex":"x*"},"content":"-"})", "axb"), "-a-b-");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"Regex":"x*"},"content":"-"})", ""), "");
  EXPECT_EQ(normalized(R"({"type":"Prepend","prepend":"_"})", "a"), "_a");
  EXPECT_EQ(normalized(R"({"type":"Prepend","prepend":"_"})", ""), "");
  EXPECT_EQ(
      normalized(R"({"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"Prepend","prepend":"X"}]})", "A"),
      "Xa");
}

TEST(PreTokenizers, ByteLevel) {
  EXPECT_THAT(words(kByteLevel, "it's  é1"), ElementsAre("it", "'s", "Ġ", "ĠÃ©", "1"));
  EXPECT_THAT(words(R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":false})", "a b"),
              ElementsAre("ĠaĠb"));
  EXPECT_THAT(words(R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true})", " a b"),
              ElementsAre("Ġa", "Ġb"));
}

TEST(PreTokenizers, SplitBehaviors) {
  const std::string text = "the-final--countdown";
  EXPECT_THAT(words(split_on_dash("Removed"), text), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(words(split_on_dash("Isolated"), text), ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(words(split_on_dash("MergedWithPrevious"), text), ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(words(split_on_dash("MergedWithNext"), text), ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(words(split_on_dash("Contiguous"), text), ElementsAre("the", "-", "final", "--", "countdown"));
  EXPECT_THAT(words(split_on_dash("Removed", true), text), ElementsAre("-", "-", "-"));
  EXPECT_THAT(words(split_on_dash("Removed"), "--"), ElementsAre());
}

TEST(PreTokenizers, DigitsPunctuationWhitespace) {
  EXPECT_THAT(words(R"({"type":"Digits","individual_digits":true})", "a12²"), ElementsAre("a", "1", "2", "²"));
  EXPECT_THAT(words(R"({"type":"Digits","individual_digits":false})", "a12²b"), ElementsAre("a", "12²", "b"));
  EXPECT_THAT(words(R"({"type":"Punctuation"})", "a,,b$。"), ElementsAre("a", ",", ",", "b", "$", "。"));
  EXPECT_THAT(words(R"({"type":"Punctuation","behavior":"Contiguous"})", "a,!b€"), ElementsAre("a", ",!", "b€"));
  EXPECT_THAT(words(R"({"type":"Whitespace"})", "Hey  you: e\u0301\u200db\u00b2"),
              ElementsAre("Hey", "you", ":", "e\u0301\u200db", "\u00b2"));
}

std::string added(std::string_view content, std::string_view flags, bool normalized, bool special, int id = 3) {
  const auto word = [](bool b) { return b ? "true" : "false"; };
  const auto flag = [&](char c) { return word(flags.find(c) != std::string_view::npos); };
  return joined({R"({"id":)", std::to_string(id), R"(,"content":")", content, R"(","single_word":)", flag('w'),
                 R"(,"lstrip":)", flag('l'), R"(,"rstrip":)", flag('r'), R"(,"normalized":)", word(normalized),
                 R"(,"special":)", word(special), "}"});
}

Tokenizer with_added(std::string_view tokens, std::string_view more = "") {
  return toy(joined({R"(,"added_tokens":[)", tokens, "]", more}));
}

TEST(AddedTokens, TakeWhiteSpaceAlong) {
  // The toy does not know spaces; here they become "a".
  const std::string spaced = R"(,"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"a"})";
  EXPECT_EQ(with_added(added("<s>", "", false, true), spaced).encode("b <s> b"), (Ids{1, 0, 3, 2}));
  EXPECT_EQ(with_added(added("<s>", "l", false, true), spaced).encode("b <s> b"), (Ids{1, 3, 2}));
  EXPECT_EQ(with_added(added("<s>", "r", false, true), spaced).encode("b <s> b"), (Ids{1, 0, 3, 1}));
  EXPECT_EQ(with_added(added("<s>", "lr", false, true), spaced).encode("b <s> b"), (Ids{1, 3, 1}));
}

TEST(AddedTokens, SingleWordsStandAlone) {
  const Tokenizer t = with_added(added("ab", "w", false, false, 2));
  EXPECT_EQ(t.encode("ab"), Ids{2});
  const Tokenizer w = with_added(added("bb", "w", false, false));
  EXPECT_EQ(w.encode("bb abba bb!"), (Ids{3, 2, 1, 0, 3}));
}

TEST(AddedTokens, TheLongestWins) {
  const Tokenizer t = with_added(added("bb", "", false, false, 3) + "," + added("bbb", "", false, false, 4));
  EXPECT_EQ(t.encode("bbbbb"), (Ids{4, 3}));
}

// Against trying every word at every place.
TEST(Trie, FindsTheLeftmostLongest) {
  const std::vector<std::string> words{"a", "ab", "abcd", "bc", "bca", "cc", "ccccb", "dab", "dd"};
  Trie trie;
  for (std::size_t i = 0; i < words.size(); ++i) EXPECT_TRUE(trie.add(words[i], i));
  EXPECT_FALSE(trie.add("bc", 99));
  trie.close();
  for (std::uint64_t i = 0; i < 3000; ++i) {
    std::string text;
    for (std::uint64_t k = 0; k < 1 + i % 20; ++k) text += static_cast<char>('a' + random_bits(i, k) % 5);
    for (std::size_t from = 0; from <= text.size();) {
      std::optional<Trie::Found> expected;
      for (std::size_t at = from; at < text.size() && !expected; ++at) {
        for (std::size_t w = 0; w < words.size(); ++w) {
          const bool longer = !expected || words[w].size() > expected->end - expected->begin;
          if (longer && text.substr(at).starts_with(words[w])) expected = {at, at + words[w].size(), w};
        }
      }
      const auto found = trie.find(text, from);
      ASSERT_EQ(found.has_value(), expected.has_value()) << text << " from " << from;
      if (!found) break;
      ASSERT_EQ(found->begin, expected->begin) << text << " from " << from;
      ASSERT_EQ(found->end, expected->end) << text << " from " << from;
      ASSERT_EQ(found->value, expected->value) << text << " from " << from;
      from = found->end;
    }
  }
}

TEST(AddedTokens, NormalizedOnesAreSoughtInNormalizedText) {
  const std::string lower = R"(,"normalizer":{"type":"Lowercase"})";
  EXPECT_EQ(with_added(added("BAB", "", true, false), lower).encode("bAb"), Ids{3});
  EXPECT_EQ(with_added(added("BAB", "", false, false), lower).encode("BABbab"), (Ids{3, 1, 2}));
  const Tokenizer t = with_added(added("BAB", "", true, true), lower);
  EXPECT_EQ(t.token(3), "BAB");
  EXPECT_EQ(t.id("BAB"), 3);
  EXPECT_TRUE(t.is_special(3));
  EXPECT_EQ(t.decode(Ids{3}), "bab") << "the library decodes to the normalised form";
  EXPECT_EQ(t.decode(Ids{3}, true), "bab") << "and so does not find it among the special tokens";
}

TEST(AddedTokens, AreNotSplitOutOfEachOther) {
  const Tokenizer t = with_added(added("<s>", "", false, true));
  EXPECT_EQ(t.encode("ab<s>ab"), (Ids{2, 3, 2}));
  EXPECT_EQ(t.decode(Ids{2, 3, 2}), "ab <s> ab");
  EXPECT_EQ(t.decode(Ids{2, 3, 2}, true), "ab ab");
  EXPECT_EQ(t.vocab_size(), 4);
  EXPECT_FALSE(t.is_special(2));
}

TEST(PostProcessors, PutTokensAroundTheText) {
  const Tokenizer roberta = toy(
      R"(,"post_processor":{"type":"RobertaProcessing","sep":["a",0],"cls":["b",1],"trim_offsets":true,"add_prefix_space":true})");
  EXPECT_EQ(roberta.encode("ab"), (Ids{1, 2, 0}));
  EXPECT_EQ(roberta.encode("ab", false), Ids{2});
  EXPECT_EQ(roberta.encode(""), (Ids{1, 0}));
  const Tokenizer twice = toy(
      R"(,"post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true},
      {"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"x","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
      "pair":[],"special_tokens":{"x":{"id":"x","ids":[0,1],"tokens":["a","b"]}}}]})");
  EXPECT_EQ(twice.encode("ab"), (Ids{2, 0, 1, 2}));
  EXPECT_EQ(twice.encode("ab", false), (Ids{2, 2}));
}

std::string decoded(std::string_view decoder, const Ids& ids, std::string_view vocab) {
  return Tokenizer::parse(joined({R"({"model":{"vocab":)", vocab, R"(,"merges":[]},"decoder":)", decoder, "}"}))
      .decode(ids);
}

TEST(Decoders, EachOfThem) {
  const std::string_view vocab = R"({"Ġa":0,"Ã":1,"©":2," x":3,"<0x41>":4,"<0xC3>":5,"__b_":6,"":7,"<0x+A>":8})";
  EXPECT_EQ(decoded(R"({"type":"ByteLevel"})", {0, 1, 2, 3, 1}, vocab), " aé x\xef\xbf\xbd");
  EXPECT_EQ(decoded(R"({"type":"ByteFallback"})", {4, 8, 0, 5}, vocab), "A\nĠa\xef\xbf\xbd");
  EXPECT_EQ(decoded(R"({"type":"Fuse"})", {0, 3}, vocab), "Ġa x");
  EXPECT_EQ(decoded("null", {0, 7, 3}, vocab), "Ġa   x") << "without decoder, spaces between";
  EXPECT_EQ(decoded(R"({"type":"Strip","content":"_","start":1,"stop":5})", {6, 6, 7}, vocab), "_b_b");
  EXPECT_EQ(decoded(R"({"type":"Replace","pattern":{"String":"_"},"content":"-"})", {6}, vocab), "--b-");
  EXPECT_EQ(decoded(R"({"type":"Replace","pattern":{"Regex":"_+"},"content":""})", {6}, vocab), "b");
  EXPECT_EQ(
      decoded(R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"_","start":1,"stop":1}]})",
              {6, 6}, vocab),
      "_b___b");
  EXPECT_EQ(decoded(R"({"type":"ByteLevel"})", {99, -1}, vocab), "") << "ids that do not exist give nothing";
}

TEST(Decoders, ReplaceDoesNotGrowOutOfProportion) {
  const Tokenizer tokenizer =
      Tokenizer::parse(joined({R"({"model":{"type":"BPE","vocab":{"a":0,")", std::string(64, 'a'),
                               R"(":1},"merges":[]},"decoder":{"type":"Replace","pattern":{"String":"a"},"content":")",
                               std::string((1 << 20) - 1, 'b'), "\"}}"}));
  EXPECT_EQ(tokenizer.decode(Ids{0}).size(), (1 << 20) - 1);
  EXPECT_THAT(error_of([&] { tokenizer.decode(Ids{1}); }), HasSubstr("the decoder's Replace makes the text too long"));
}

TEST(Stream, EqualsDecodeAndNeverBreaksACharacter) {
  const std::string_view bytes = R"({"type":"ByteLevel"})";
  const std::string_view llama =
      R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"a"},"content":"é_"},
      {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":"é","start":1,"stop":2}]})";
  const std::string_view late =
      R"({"type":"Sequence","decoders":[{"type":"ByteLevel"},{"type":"Replace","pattern":{"Regex":"é."},"content":"!"}]})";
  for (const std::string_view decoder : {bytes, llama, late, std::string_view("null")}) {
    const Tokenizer t = Tokenizer::parse(joined(
        {R"({"model":{"vocab":{"a":0,"Ã":1,"©":2,"Ł":3,"é":4,"<0xC3>":5,"<0xA9>":6,"ðŁĺĢ":7,"ðŁ":8,"ĺ":9,"Ģ":10,"":11},)",
         R"("merges":[]},"added_tokens":[)", added("<|é|>", "", false, true, 12), R"(],"decoder":)", decoder, "}"}));
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const bool skip = i % 2 == 0;
      Ids ids;
      for (std::uint64_t k = 0; k < 1 + i % 17; ++k) ids.push_back(static_cast<std::int32_t>(random_bits(i, k) % 14));
      Tokenizer::Stream stream(t, skip);
      std::string text;
      for (const std::int32_t id : ids) {
        text += stream.push(id);
        ASSERT_FALSE(first_invalid_utf8(text));
      }
      text += stream.finish();
      ASSERT_EQ(text, t.decode(ids, skip)) << decoder << " at seed " << i;
      text = stream.push(0);
      text += stream.finish();
      ASSERT_EQ(text, t.decode(Ids{0}, skip)) << "as new after finish";
    }
  }
}

TEST(Stream, GivesTextAsSoonAsItIsCertain) {
  const Tokenizer t = byte_toy(kByteLevel);
  const Ids ids = t.encode("a\U0001f600b");
  Tokenizer::Stream stream(t);
  std::vector<std::string> pieces;
  for (const std::int32_t id : ids) pieces.push_back(stream.push(id));
  EXPECT_THAT(pieces, ElementsAre("a", "", "", "", "\U0001f600", "b"));
}

TEST(Stream, OutlivesItsTokenizer) {
  auto t = std::make_unique<Tokenizer>(byte_toy(kByteLevel));
  Tokenizer::Stream stream(*t);
  t.reset();
  EXPECT_EQ(stream.push('a'), "a") << "ids are bytes in this toy";
}

TEST(Tokens, OutsideTheVocabulary) {
  EXPECT_THAT(error_of([] { toy().token(3); }), HasSubstr("there is no token with the id 3"));
  EXPECT_EQ(toy().id("x"), std::nullopt);
  EXPECT_FALSE(toy().is_special(99));
}

}  // namespace
}  // namespace pkv::text
