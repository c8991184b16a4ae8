#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>
#include <set>

#include "base/file.h"
#include "show/html/parts.h"
#include "show/html/pieces.h"
#include "support/places.h"

namespace pkv::show::html {
namespace {

using testing::HasSubstr;
using testing::Not;

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(Html, TextOfOthersIsOnlyText) {
  EXPECT_EQ(escaped("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
  EXPECT_EQ(escaped("é中😀\n\t"), "é中😀\n\t");
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(escaped("a\xff"
                    "b\xe4\xb8"),
            "a" + r + "b" + r);
  EXPECT_EQ(escaped(std::string_view("\0\x1b[2J\r\x7f", 7)), r + r + "[2J" + r + r);
  // What XML forbids: U+FFFE, U+FFFF and surrogates.
  for (const char* bytes : {"\xef\xbf\xbe", "\xef\xbf\xbf", "\xed\xa0\x80"}) {
    EXPECT_EQ(escaped(bytes).find_first_not_of(r), std::string::npos) << escaped(bytes);
  }
  EXPECT_EQ(escaped("\xef\xbf\xbd\xef\xbb\xbf"), "\xef\xbf\xbd\xef\xbb\xbf");
}

TEST(Html, EveryPieceEscapes) {
  const std::string evil = "<script>alert(1)</script>";
  const Html body = text(evil) + strong(evil) + code(evil) + muted(evil) + toned(Tone::bad, evil) +
                    link("\"><x", evil) + heading(evil, "\"><x") + subheading(evil) + preformatted(evil) +
                    details(evil, text(evil)) + verdict(Tone::good, evil, text(evil)) +
                    table({.head = {evil}, .rows = {{text(evil)}}, .caption = evil}) + facts({{evil, text(evil)}}) +
                    marks({{Tone::unsure, text(evil)}}) +
                    chart({.title = evil, .caption = text(evil), .specification = "{\"a\": \"</script><script>\"}"}) +
                    origin({.program = evil, .time = evil}, evil);
  EXPECT_THAT(body.markup, Not(HasSubstr("<script>")));
  EXPECT_THAT(body.markup, Not(HasSubstr("<x")));
  EXPECT_EQ(count(body.markup, "</script"), 1u) << "the end of the chart's specification and nothing else";
  EXPECT_THAT(body.markup, HasSubstr("\\u003c/script>\\u003cscript>"));
}

TEST(Html, IsOneFile) {
  const std::string html = file({.title = "a < b", .body = paragraph(text("c"))});
  EXPECT_TRUE(html.starts_with("<!DOCTYPE html>"));
  EXPECT_THAT(html, HasSubstr("<title>a &lt; b</title>"));
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  EXPECT_EQ(count(html, "<script"), 2u) << "what fits tables, and what draws charts";
  EXPECT_EQ(count(html, "</script"), 2u);
  EXPECT_THAT(html, Not(HasSubstr("<!--"))) << "would hide the rest of a script";
  const std::string before = html.substr(0, html.find("<script"));
  for (const char* outside : {" src=", "<link", "@import", "url("}) EXPECT_THAT(before, Not(HasSubstr(outside)));
}

TEST(Html, SaysThatChartsNeedScripts) {
  if (!draws_charts()) GTEST_SKIP() << "built without Vega";
  const Html all = chart({.title = "Time", .caption = text("per token"), .specification = "{}"});
  EXPECT_THAT(all.markup, HasSubstr("<noscript>"));
  EXPECT_THAT(all.markup, HasSubstr("per token"));
}

TEST(Html, HoldsTheFilesThatItWasBuiltFrom) {
  const std::filesystem::path folder = support::source() / "src" / "show" / "html";
  EXPECT_EQ(style(), read_file(folder / "style.css", 1 << 20));
  if (!draws_charts()) GTEST_SKIP() << "built without Vega";
  EXPECT_TRUE(script().ends_with(read_file(folder / "charts.js", 1 << 20) + "})();\n"));
}

// Modules get what they ask for from those before them.
TEST(Html, VegasModulesAreInOrder) {
  if (!draws_charts()) GTEST_SKIP() << "built without Vega";
  static const std::regex asks("naming = \"([a-z-]+)\";\n[^\n]{0,700}?define\\(\\[([^\\]]*)\\]");
  static const std::regex name("\"([a-z-]+)\"");
  const std::string all(script());
  std::set<std::string> known{"exports"};
  for (std::sregex_iterator m(all.begin(), all.end(), asks), end; m != end; ++m) {
    const std::string needed = (*m)[2];
    for (std::sregex_iterator n(needed.begin(), needed.end(), name), last; n != last; ++n) {
      EXPECT_TRUE(known.contains((*n)[1])) << (*m)[1] << " asks for " << (*n)[1];
    }
    known.insert((*m)[1]);
  }
  EXPECT_EQ(known.size(), 1 + count(all, "naming = \"vega-"));
  static const std::regex used("modules\\[\"([a-z-]+)\"\\]");
  int uses = 0;
  for (std::sregex_iterator m(all.begin(), all.end(), used), end; m != end; ++m, ++uses) {
    EXPECT_TRUE(known.contains((*m)[1])) << (*m)[1];
  }
  EXPECT_GE(uses, 5);
  EXPECT_THAT(std::string(licence()), HasSubstr("UW Interactive Data Lab"));
}

TEST(Html, OnlyLongWordsAreBroken) {
  const std::string sentence = "more words than stand in one line";
  const Html all = table(
      {.head = {"a", "b"}, .rows = {{text("1"), muted(sentence)}, {text("2"), muted("fp32")}}, .words = {true, true}});
  EXPECT_THAT(all.markup, HasSubstr("<td data-of=\"b\" class=\"words long\"><span class=\"muted\">" + sentence));
  EXPECT_THAT(all.markup, HasSubstr("<td data-of=\"b\" class=\"words\"><span class=\"muted\">fp32"));
}

TEST(Html, WordsStandToTheLeft) {
  const Html all =
      table({.head = {"a", "b", "c"}, .rows = {{text("1"), text("2"), text("3")}}, .words = {true, false, true}});
  EXPECT_THAT(
      all.markup,
      HasSubstr(
          "<th scope=\"row\" class=\"words\">1</th><td data-of=\"b\">2</td><td data-of=\"c\" class=\"words\">3</td>"));
}

TEST(Environment, KnowsThisMachine) {
  setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  const Environment e = environment("pkv 1");
  EXPECT_EQ(e.program, "pkv 1");
  EXPECT_EQ(e.time, "2023-11-14T22:13:20Z");
  EXPECT_THAT(e.system, HasSubstr("Linux"));
  EXPECT_THAT(e.processor, HasSubstr("core"));
  setenv("SOURCE_DATE_EPOCH", "-5 days", 1);
  EXPECT_GT(environment("").time, "2024");
  unsetenv("SOURCE_DATE_EPOCH");
}

TEST(Environment, CommandsAreWhatAShellWouldTake) {
  const std::vector<std::string> words{"pkv", "check", "./a-b_c/d.e", "I like", "it's", "$x", "", "1,2"};
  EXPECT_EQ(shell_command(words), "pkv check ./a-b_c/d.e 'I like' 'it'\\''s' '$x' '' 1,2");
  EXPECT_EQ(started_with().at(0), "unit_show");
}

}  // namespace
}  // namespace pkv::show::html
