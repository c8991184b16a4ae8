#include "text/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/regex_syntax.h"
#include "toys.h"

namespace pkv::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  const Regex regex = Regex::compile(pattern, "test");
  Regex::Matcher matcher(regex);
  matcher.start(text);
  std::vector<std::string> found;
  while (const auto m = matcher.next()) found.emplace_back(text.substr(m->begin, m->end - m->begin));
  return found;
}

std::string refused(std::string_view pattern) {
  return error_of([&] { Regex::compile(pattern, "tokenizer.json: p.Regex"); });
}

// What Oniguruma's Ruby syntax means, where PCRE2 would mean something else.
TEST(Syntax, IsRubys) {
  EXPECT_THAT(matches(R"(\s+)", "a \u180e\u0085b"), ElementsAre(" ", "\u0085")) << "U+180E is no white space";
  EXPECT_THAT(matches(R"(\w+)", "e\u0301_1 \u00b2\u2167\u2460"), ElementsAre("e\u0301_1", "\u00b2\u2167"));
  EXPECT_THAT(matches(R"([\w]+)", "a\u00b2\u2167"), ElementsAre("a", "\u2167"))
      << "\u00b2 is \\w outside brackets only";
  EXPECT_THAT(matches(R"(\h+)", "af09g"), ElementsAre("af09")) << "\\h is a hexadecimal digit";
  EXPECT_THAT(matches(R"(\v)", "\n\v\f"), ElementsAre("\v"));
  EXPECT_THAT(matches("(?m:a.b)", "a\nb"), ElementsAre("a\nb")) << "(?m) lets the dot match newlines";
  EXPECT_THAT(matches("a.b", "a\nb a\rb"), ElementsAre("a\rb"));
  EXPECT_THAT(matches("^b$", "a\nb\nc"), ElementsAre("b"));
  EXPECT_THAT(matches(R"(\d{2}+)", "12345"), ElementsAre("1234")) << "{2}+ repeats, it is not possessive";
  EXPECT_THAT(matches("x{2}?y", "y xxy xy"), ElementsAre("y", "xxy", "y")) << "{2}? is optional, it is not lazy";
  EXPECT_THAT(matches("a{,2}b", "aaab"), ElementsAre("aab"));
  EXPECT_THAT(matches("a{,}|a{x", "a{,} a{x"), ElementsAre("a{,}", "a{x"));
  EXPECT_THAT(matches("a(?i)b|c", "aB aC C"), ElementsAre("aB", "aC")) << "(?i) reaches over the alternatives";
  EXPECT_THAT(matches(R"(a++a|b?+bb|bb*+b|c)", "aabbc"), ElementsAre("c")) << "possessive";
  EXPECT_THAT(matches(R"(\p{^L}+|\P{^Lu})", "aB12"), ElementsAre("B", "12"));
  EXPECT_THAT(matches(R"([\p{Uppercase Letter}\p{Han}]+)", "aBC\u4e2d\u3001"), ElementsAre("BC\u4e2d"));
  EXPECT_THAT(matches(R"(\bthe\b)", "the other theme the"), ElementsAre("the", "the"));
  EXPECT_THAT(matches(R"((?<q>['"]).*?\k<q>)", "'x\"' y"), ElementsAre("'x\"'"));
}

TEST(Syntax, OfClasses) {
  EXPECT_THAT(matches("[a-c&&[^b]]+", "abcd"), ElementsAre("a", "c"));
  EXPECT_THAT(matches("[^a-c&&[^b]]+", "abcd"), ElementsAre("b", "d"));
  EXPECT_THAT(matches("[x[0-9][:upper:]]+", "ax1By"), ElementsAre("x1B"));
  EXPECT_THAT(matches(R"([\S\n]+)", "a b\nc"), ElementsAre("a", "b\nc"));
  EXPECT_THAT(matches(R"([^\S\n]+)", "a \nb\t"), ElementsAre(" ", "\t"));
  EXPECT_THAT(matches(R"([^\W\d]+)", "a1_b!"), ElementsAre("a", "_b"));
  EXPECT_THAT(matches(R"([[:^alpha:]]+)", "a1 b"), ElementsAre("1 "));
  EXPECT_THAT(matches(R"([\-a^\]]+)", "-a^]b"), ElementsAre("-a^]"));
  EXPECT_THAT(matches(R"([a-])", "-"), ElementsAre("-"));
}

TEST(Syntax, OfEscapes) {
  EXPECT_THAT(matches(R"(\u00e9|\x{4e2d}|\x41|\07|\.|\#)", "é中A\a.#"), ElementsAre("é", "中", "A", "\a", ".", "#"));
  EXPECT_THAT(matches(R"(\R)", "\r\n\n\u2028"), ElementsAre("\r\n", "\n", "\u2028"));
  EXPECT_THAT(matches(R"(\Aa|b\z)", "ab ab"), ElementsAre("a", "b"));
}

TEST(Syntax, WhatIsNotTranslatedIsRefusedByName) {
  EXPECT_EQ(refused(R"(a\Xb)"),
            "tokenizer.json: p.Regex: regular expression: \\X at offset 3 is not supported\n  found:    'a\\\\Xb'");
  EXPECT_THAT(refused("(*ACCEPT)"), HasSubstr("(*...)"));
  EXPECT_THAT(refused("(*LIMIT_MATCH=1)a"), HasSubstr("(*...)"));
  EXPECT_THAT(refused("(?x: a)"), HasSubstr("group (?x"));
  EXPECT_THAT(refused("(?~ab)"), HasSubstr("group (?~"));
  EXPECT_THAT(refused("(?(1)a|b)"), HasSubstr("group (?("));
  EXPECT_THAT(refused(R"(\Ga)"), HasSubstr("\\G"));
  EXPECT_THAT(refused(R"(a\Kb)"), HasSubstr("\\K"));
  EXPECT_THAT(refused(R"((a)\g<1>)"), HasSubstr("\\g"));
  EXPECT_THAT(refused(R"(\p{Klingon})"), HasSubstr("\\p{Klingon}"));
  EXPECT_THAT(refused(R"(\p{Cn})"), HasSubstr("\\p{Cn}"));
  EXPECT_THAT(refused(R"([[:graph:]])"), HasSubstr("[:graph:]"));
  EXPECT_THAT(refused(R"((?i:\p{Lu}))"), HasSubstr("under (?i)"));
  EXPECT_THAT(refused(R"([a-\d])"), HasSubstr("a range that ends in a class"));
  EXPECT_THAT(refused(R"(\xff)"), HasSubstr("\\x of a single byte"));
  EXPECT_THAT(refused("[z-a]"), HasSubstr("a range that runs backwards"));
  EXPECT_THAT(refused("a)"), HasSubstr("unmatched )"));
  EXPECT_THAT(refused("(a"), HasSubstr("a group without end"));
  EXPECT_THAT(refused("[a"), HasSubstr("a class without end"));
  EXPECT_THAT(refused("[]"), HasSubstr("an empty class"));
  EXPECT_THAT(refused("*a"), HasSubstr("a repetition of nothing"));
  EXPECT_THAT(refused("a\\"), HasSubstr("a \\ at the end"));
  EXPECT_THAT(refused("(?<=a+)b"), HasSubstr("lookbehind"));
  EXPECT_THAT(refused(std::string(20000, 'a')), HasSubstr("at most 16384 bytes"));
  EXPECT_THAT(refused(std::string(2000, '(')), HasSubstr("nested that deep"));
  EXPECT_THAT(refused(std::string(2000, '[')), HasSubstr("nested that deep"));
}

TEST(Search, StepsOverEmptyMatches) {
  EXPECT_THAT(matches("x*", "axxb"), ElementsAre("", "xx", "")) << "none right behind a match, none at its end";
  EXPECT_THAT(matches("(?=b)", "abcb"), ElementsAre("", ""));
  EXPECT_THAT(matches("", "é"), ElementsAre("", ""));
}

TEST(Search, KnowsTheCharactersOfUnicode16) {
  EXPECT_THAT(matches(R"(\p{L}+)", "a\u1c89\U0002ebf0!"), ElementsAre("a\u1c89\U0002ebf0"));
  EXPECT_THAT(matches(R"([^\p{L}]+)", "\u1c89!"), ElementsAre("!"));
  EXPECT_THAT(matches(R"(\p{N}+)", "1\U00010d40"), ElementsAre("1\U00010d40"));
  EXPECT_THAT(matches(R"(\p{Han}+)", "\U00031350\u4e2d"), ElementsAre("\U00031350\u4e2d"));
}

TEST(Search, ThatExplodesIsGivenUp) {
  const std::string text = std::string(200, 'a') + "bc";
  EXPECT_THAT(error_of([&] { matches("(a|a)+c", text); }), HasSubstr("matching was given up"));
  EXPECT_THAT(error_of([&] { matches("(a|b|(?:ab))+(?=c)", std::string(4 << 20, 'a') + "c"); }),
              testing::AnyOf(HasSubstr("matching was given up"), HasSubstr("no error")));
}

}  // namespace
}  // namespace pkv::text
