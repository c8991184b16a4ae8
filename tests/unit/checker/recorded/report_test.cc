// What the reports look like, to the letter: tests/unit/checker/recorded/approved/. PKV_APPROVE=1 writes those files
// anew; read them before they are committed.
#include "checker/check/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "checker/check/check.h"
#include "checker/compare/columns.h"
#include "checker/recorded/recorded.h"
#include "mutants/toy.h"
#include "support/places.h"

namespace pkv::check {
namespace {

using testing::HasSubstr;
using testing::Not;

void expect_approved(const std::string& name, const std::string& got) {
  const auto path = support::source() / "tests/unit/checker/recorded/approved" / name;
  if (std::getenv("PKV_APPROVE") != nullptr) std::ofstream(path) << got;
  std::ostringstream approved;
  approved << std::ifstream(path).rdbuf();
  EXPECT_EQ(got, approved.str()) << "approved in " << path << "; PKV_APPROVE=1 accepts the new one";
}

int widest_line(const std::string& text) {
  int widest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, show::columns_of(line));
  return widest;
}

Report toy_report(const toy::Bugs& bugs, bool promises = false) {
  toy::Subject subject(bugs, promises);
  return run(subject, std::vector<std::int32_t>{3, 1, 4, 2}, {.text = "I like to eat"});
}

Report healthy() { return toy_report({}, true); }

Report without_past() {
  toy::Bugs bugs;
  bugs.keeps_nothing = true;
  return toy_report(bugs);
}

Report only_token_0() {
  toy::Bugs bugs;
  bugs.sees = [](toy::Call c, auto row, auto index) {
    return c.continues() && c.count == 1 ? index == 0 : index <= c.past + row;
  };
  return toy_report(bugs);
}

Report looking_ahead() {
  toy::Bugs bugs;
  bugs.sees = [](toy::Call, auto, auto) { return true; };
  bugs.powers = false;
  return toy_report(bugs);
}

Report not_finite() {
  toy::Bugs bugs;
  bugs.logit = [](toy::Call c, float v) { return c.continues() ? std::numeric_limits<float>::quiet_NaN() : v; };
  return toy_report(bugs);
}

Recording recording(std::vector<std::int64_t> pieces, std::vector<float> last) {
  Recording r{.description = {.name = "gpt2",
                              .family = "GPT-2",
                              .system = "transformers 5.17, cuda",
                              .format = "fp32",
                              .layers = 12,
                              .width = 3072},
              .text = "I like to eat",
              .ids = {40, 588, 284, 4483},
              .logits = {.vocab = 4, .values = {-30, -33, -35, -31, -80, -77, -80, -81, -99, -98, -97, -96}},
              .pieces = std::move(pieces)};
  r.logits.values.insert(r.logits.values.end(), last.begin(), last.end());
  return r;
}

Report recorded(float delta) {
  const Recording without = recording({4}, {-137.848907f, -120.5f, -107.432274f, -118});
  return compare_recordings(without, recording({3, 1}, {-137.848907f + delta, -120.5f, -107.432274f, -118 - delta}));
}

// A review without what each of its parts says.
show::Document summary(std::span<const Report> reports, std::span<const NotChecked> others = {}) {
  show::Document all = review(reports, others);
  all.parts.clear(), all.missing.clear();
  return all;
}

std::string summary_text(std::span<const Report> reports, std::span<const NotChecked> others = {}) {
  return show::as_text(summary(reports, others));
}

TEST(ReportText, IsApproved) {
  expect_approved("healthy.txt", show::as_text(document(healthy())));
  expect_approved("without_past.txt", show::as_text(document(without_past())));
  expect_approved("only_token_0.txt", show::as_text(document(only_token_0())));
  expect_approved("looking_ahead.txt", show::as_text(document(looking_ahead())));
  expect_approved("not_finite.txt", show::as_text(document(not_finite())));
  expect_approved("rounding.txt", show::as_text(document(recorded(4.6e-5f))));
}

TEST(ReportText, NamesThePastsFormatWhereItIsAnother) {
  Report r = healthy();
  r.subject.format = r.subject.past_format = "fp32";
  EXPECT_THAT(show::as_text(document(r)), Not(HasSubstr("past fp32")));
  r.subject.past_format = "fp16";
  EXPECT_THAT(show::as_text(document(r)), HasSubstr(" · fp32, past fp16"));
  EXPECT_THAT(show::as_markdown(document(r)), HasSubstr("fp32, past fp16"));
  EXPECT_THAT(show::as_csv(review(std::vector{r})), HasSubstr(",\"fp32, past fp16\","));
  EXPECT_THAT(report_json(r), HasSubstr("\"past_format\": \"fp16\""));
}

TEST(ReportText, ColourChangesNoLetter) {
  std::string coloured = show::as_text(document(without_past()), {.colour = true});
  EXPECT_THAT(coloured, HasSubstr("\033[1;31m✗ differs\033[0m: no past was kept"));
  for (std::size_t at; (at = coloured.find('\033')) != std::string::npos;) {
    coloured.erase(at, coloured.find('m', at) - at + 1);
  }
  EXPECT_EQ(coloured, show::as_text(document(without_past())));
}

TEST(ReportText, FitsTheTerminal) {
  for (const auto& r :
       {healthy(), without_past(), only_token_0(), looking_ahead(), not_finite(), recorded(1e-4f), recorded(1)}) {
    for (const int columns : {40, 60, 80}) {
      const std::string text = show::as_text(document(r), {.columns = columns});
      EXPECT_LE(widest_line(text), columns) << text;
    }
  }
}

// Each word and number that a wide terminal shows.
TEST(ReportText, LosesAndBreaksNoWordOnANarrowTerminal) {
  for (const auto& r : {healthy(), only_token_0(), not_finite(), recorded(1)}) {
    const std::string narrow = show::as_text(document(r), {.columns = 40});
    std::istringstream wide(show::as_text(document(r), {.columns = 120}));
    for (std::string word; wide >> word;) EXPECT_THAT(narrow, HasSubstr(word));
  }
}

TEST(ReportText, OfAHealthyModelIsFiveLinesWhereItShouldBeShort) {
  Report r = healthy();
  EXPECT_EQ(show::as_text(document(r), {.rest = "more"}),
            "toy · one attention · fp32 · written in the test\n"
            "✓ identical: all 73 positions are equal bit for bit, with and without the past.\n"
            "  \"I like to eat\" → 4 tokens; the past is used: without it logits move by 4.4\n"
            "more\n");
  r.gain = {.times = 2.5, .error = {}, .new_tokens = 32};
  EXPECT_THAT(show::as_text(document(r), {.rest = "more"}),
              HasSubstr("\n  2.5 × faster with its past (32 new tokens)\nmore\n"));
  EXPECT_EQ(show::as_text(document(without_past()), {.rest = "more"}), show::as_text(document(without_past())));
}

TEST(ReportText, OfManyModelsEndsWithTheirTable) {
  const std::vector<Report> reports{healthy(), without_past()};
  const std::string text = show::as_text(review(reports), {.rest = "more"}), table = summary_text(reports);
  EXPECT_TRUE(text.ends_with("\nmore\n\n" + table)) << text;
  EXPECT_THAT(text, Not(HasSubstr("experiment")));
  EXPECT_THAT(text, HasSubstr("✗ differs: no past was kept"));
}

TEST(ReportText, FitsTheTerminalWhateverTheNumbers) {
  Report r = only_token_0();
  r.subject.name = std::string(100, 'n') + "日本";
  r.text = std::string(300, 't') + "\n";
  for (auto& result : r.results) {
    result.runs = 1023;
    result.difference = {.positions = 523776,
                         .same_bits = false,
                         .max_abs = 1.234e-10,
                         .ulps = 2147483647,
                         .max_kl = 1.234e-10,
                         .top_flips = 12345,
                         .worst = Place{1023, 1023}};
  }
  EXPECT_LE(widest_line(show::as_text(document(r))), show::terminal_columns) << show::as_text(document(r));
  EXPECT_LE(widest_line(summary_text(std::vector{r})), show::terminal_columns) << summary_text(std::vector{r});
}

// Names come from files of others.
TEST(ReportText, HoldsNoControlCharactersOfOthers) {
  Recording a = recording({4}, {1, 2, 3, 4}), b = recording({3, 1}, {1, 2, 3, 4});
  b.description.name = "evil\033[2J";
  b.text = "\033]0;title\a";
  const Report r = compare_recordings(a, b);
  for (const auto& text : {show::as_text(document(r)), show::as_markdown(document(r)), summary_text(std::vector{r})}) {
    EXPECT_EQ(text.find('\033'), std::string::npos) << text;
  }
}

TEST(ReportMarkdown, IsApproved) {
  expect_approved("without_past.md", show::as_markdown(document(without_past())));
  expect_approved("summary.md",
                  show::as_markdown(summary(std::vector{healthy(), recorded(4.6e-5f), without_past()},
                                            std::vector<NotChecked>{{"none", "there is no such model"}})));
}

TEST(ReportCsv, IsApproved) {
  expect_approved("healthy.csv", show::as_csv(document(healthy())));
  expect_approved("summary.csv", show::as_csv(review(std::vector{healthy(), recorded(0)},
                                                     std::vector<NotChecked>{{"none", "there is no such model"}})));
}

TEST(ReportJson, IsApproved) { expect_approved("recorded.json", report_json(recorded(0))); }

TEST(ReportJson, HoldsTheWholeReport) {
  const Report r = without_past();
  const auto json = nlohmann::json::parse(report_json(r));
  EXPECT_EQ(json["schema"], "pkv-check/2");
  EXPECT_EQ(json["verdict"]["outcome"], "differs");
  EXPECT_EQ(json["verdict"]["holds"], false);
  EXPECT_EQ(json["ids"].size(), 4u);
  EXPECT_EQ(json["experiments"].size(), r.results.size());
  EXPECT_EQ(json["total"]["max_abs"], r.total.max_abs);
  EXPECT_EQ(json["total"]["worst"]["position"], r.total.worst->position);
  EXPECT_EQ(json["evidence"]["past_exists"]["shown"], false);
  EXPECT_EQ(json["evidence"]["probes"].size(), 2u);
  EXPECT_EQ(json["table"]["with_past"]["75%"], r.table.with_past.q75);
  EXPECT_EQ(json["bound"]["value"], r.bound.value);
  EXPECT_EQ(json["experiments"][5]["left_out"], "no past was kept");
}

TEST(ReportJson, TakesTextThatIsNotUtf8) {
  Report r = healthy();
  r.text = "\xff";
  EXPECT_EQ(nlohmann::json::parse(report_json(r))["text"], "\ufffd");
}

TEST(Summary, IsApproved) {
  const std::vector reports{healthy(), recorded(4.6e-5f), without_past(), looking_ahead(), not_finite()};
  const std::vector<NotChecked> others{{"none", "there is no such model"}};
  expect_approved("summary.txt", summary_text(reports, others));
  const auto json = nlohmann::json::parse(review_json(reports));
  EXPECT_EQ(json["schema"], "pkv-review/2");
  EXPECT_EQ(json["models"].size(), 5u);
}

}  // namespace
}  // namespace pkv::check
