// Reports for browsers, CI systems and programs: whatever a report holds, they are what they promise to be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "checker/check/check.h"
#include "mutants/toy.h"
#include "show/columns.h"
#include "support/validate.h"

namespace pkv::check {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

Report toy_report(const toy::Bugs& bugs, bool promises) {
  toy::Subject subject(bugs, promises);
  Report r = run(subject, std::vector<std::int32_t>{3, 1, 4, 2}, {.text = "I like to eat"});
  r.environment = {.program = "pkv 1", .time = "2026-11-25T20:41:18Z"};
  r.command = "pkv check toy";
  return r;
}

Report healthy() { return toy_report({}, true); }

Report without_past() {
  toy::Bugs bugs;
  bugs.keeps_nothing = true;
  return toy_report(bugs, false);
}

Report not_finite() {
  toy::Bugs bugs;
  bugs.logit = [](toy::Call c, float v) { return c.continues() ? std::numeric_limits<float>::quiet_NaN() : v; };
  return toy_report(bugs, false);
}

// All that others may have written, and all numbers that JSON does not know.
Report awkward() {
  Report r = without_past();
  const std::string bytes = "]]> --> </script> <b>&\"' \xff\xe4\xb8 \x01\x1b[2J\r\xef\xbf\xbe";
  r.subject.name = r.subject.family = r.subject.system = r.subject.format = r.text = bytes;
  r.verdict.sentence = bytes;
  r.verdict.reasons = r.notes = {bytes};
  r.causes = {{.cause = bytes, .statement = bytes, .look_at = bytes, .reference = bytes, .evidence = bytes}};
  r.results[0].name = r.results[0].sentence = r.results[1].left_out = bytes;
  r.environment = {bytes, bytes, bytes, bytes, "2026-11-25T20:41:18Z"};
  r.command = bytes;
  r.total.max_abs = r.total.max_kl = r.bound.value = kInf;
  r.cells = {{{1, 1}, kNaN, 0}, {{1, 2}, kInf, 7}, {{2, 2}, 0, 0}};
  r.table.relative.mean = kNaN;
  r.layers = {{0, 0}, {kInf, 1}, {kNaN, kNaN}};
  r.parting = Parting{.past = 1, .position = 2, .sentence = bytes};
  r.causality = {.holds = Answer::no, .first_layer = 1, .moved = kInf, .sentence = bytes};
  return r;
}

// Nothing known.
Report bare() { return {}; }

std::vector<Report> all_kinds() { return {healthy(), without_past(), not_finite(), awkward(), bare()}; }

TEST(ReportForms, JsonFitsItsSchema) {
  std::map<std::string, std::string> files;
  for (const Report& r : all_kinds()) files[std::to_string(files.size()) + ".json"] = report_json(r);
  files["review.json"] = review_json(all_kinds(), std::vector<NotChecked>{{"none\xff", "why"}});
  files["empty.json"] = review_json({});
  support::expect_valid(files);
}

TEST(ReportForms, JUnitIsWellFormedAndCountsRight) {
  std::map<std::string, std::string> files;
  for (const Report& r : all_kinds()) files[std::to_string(files.size()) + ".xml"] = report_junit(r);
  files["review.xml"] = review_junit(all_kinds(), std::vector<NotChecked>{{"none\xff", "why\x01\n"}});
  files["empty.xml"] = review_junit({});
  support::expect_valid(files);
}

TEST(ReportForms, JUnitFailsWhereTheVerdictDoes) {
  EXPECT_THAT(report_junit(healthy()), AllOf(HasSubstr("failures=\"0\""), Not(HasSubstr("<failure"))));
  const Report r = without_past();
  const std::string xml = report_junit(r);
  EXPECT_THAT(xml,
              HasSubstr("<testcase classname=\"pkv.toy\" name=\"the past can be reused\">\n      <failure message=\"" +
                        r.verdict.sentence));
  EXPECT_THAT(xml, HasSubstr("cause: past-absent"));
  EXPECT_THAT(xml, HasSubstr("repeat with: pkv check toy"));
  EXPECT_THAT(xml, HasSubstr("name=\"a past exists\">\n      <failure"));
  EXPECT_THAT(xml, HasSubstr("<skipped message=\"no past was kept\"/>"));
  EXPECT_THAT(report_junit(not_finite()), HasSubstr("type=\"not finite\""));
}

// Within rounding, a bit that differs fails no test.
TEST(ReportForms, JUnitFailsNoTestOfAVerdictThatHolds) {
  Report r = healthy();
  r.verdict.outcome = Outcome::within_rounding;
  r.evidence.control.shown = Answer::no;
  r.results[0].difference.first = Place{1, 2};
  EXPECT_THAT(report_junit(r), AllOf(HasSubstr("failures=\"0\""), Not(HasSubstr("<failure"))));
}

TEST(ReportForms, HtmlBeginsWithVerdictAndCause) {
  const Report r = without_past();
  const std::string html = show::as_html(document(r));
  const auto verdict = html.find("✗ No: differs"), cause = html.find("past-absent"),
             table = html.find("without past</th>");
  ASSERT_NE(verdict, std::string::npos);
  ASSERT_NE(table, std::string::npos);
  EXPECT_LT(verdict, cause);
  EXPECT_LT(cause, table);
  EXPECT_THAT(html,
              AllOf(HasSubstr("pkv check toy"), HasSubstr("2026-11-25T20:41:18Z"), HasSubstr("every split point")));
  EXPECT_THAT(show::as_html(document(healthy())), HasSubstr("✓ Yes: identical"));
  EXPECT_THAT(show::as_html(document(bare())), HasSubstr("Not shown: test is empty"));
}

TEST(ReportForms, HtmlDrawsNoEmptyChart) {
  const std::string html = show::as_html(document(healthy()));
  EXPECT_THAT(html, HasSubstr("there is nothing to draw"));
  EXPECT_THAT(html, HasSubstr("exactly 0"));
  EXPECT_THAT(html, Not(HasSubstr("How far apart")));
  EXPECT_THAT(show::as_html(document(bare())), Not(HasSubstr("class=\"chart\"")));
}

TEST(ReportForms, HtmlChartsAreJson) {
  for (const Report& r : all_kinds()) {
    const std::string html = show::as_html(document(r)), open = "<script type=\"application/json\">";
    for (std::size_t at = html.find(open); at != std::string::npos; at = html.find(open, at + 1)) {
      const std::size_t from = at + open.size();
      const auto spec = nlohmann::json::parse(html.substr(from, html.find("</script>", from) - from), nullptr, false);
      ASSERT_TRUE(spec.is_object());
      EXPECT_FALSE(spec["data"][0]["values"].empty());
    }
  }
}

TEST(ReportForms, HtmlHoldsNoMarkupOfOthers) {
  const Report r = awkward();
  for (const std::string& html :
       {show::as_html(document(r)), show::as_html(review(std::vector{r}, std::vector<NotChecked>{{"<b>", "<b>"}}))}) {
    EXPECT_THAT(html.substr(0, html.find("<footer>")), Not(HasSubstr("<b>")));
    EXPECT_EQ(html.find('\x1b'), std::string::npos);
  }
}

TEST(ReportForms, ReviewLinksToEveryModel) {
  const std::string html =
      show::as_html(review(std::vector{healthy(), without_past()}, std::vector<NotChecked>{{"none", "gone"}}));
  EXPECT_THAT(html, AllOf(HasSubstr("href=\"#part-2\""), HasSubstr("id=\"part-2\""), HasSubstr("not checked"),
                          HasSubstr("1 of 2 models"), HasSubstr("gone")));
}

// The column of a table must not change its width with the figure.
TEST(Gain, IsShort) {
  EXPECT_EQ(gain_cell(std::nullopt), "");
  EXPECT_EQ(gain_cell(Gain{.times = 3.21}), "3.2 ×");
  EXPECT_EQ(gain_cell(Gain{.times = 99.96}), "100 ×");
  EXPECT_LE(show::columns_of(gain_cell(Gain{.times = 9999})), 6);
}

}  // namespace
}  // namespace pkv::check
