#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "checker/measure/document.h"
#include "checker/measure/numbers.h"
#include "show/columns.h"
#include "support/validate.h"
#include "toy.h"

namespace pkv::measure {
namespace {

// Every variant of everything, with times that a clock did not measure.
Result made_up() {
  Toy toy;
  Options o;
  o.new_tokens = 40;
  o.prompt_tokens = {4, 300};
  o.depths = {0, 1000};
  o.prefix_tokens = {1, 16, 2048};
  o.repetitions = 3;
  o.seconds = 600;
  toy.slower = 0.001;
  return measured(toy, o);
}

TEST(Numbers, AreShort) {
  EXPECT_EQ(time_text(0.0000123), "12.3 us");
  EXPECT_EQ(time_text(0.9996e-3), "1.00 ms");
  EXPECT_EQ(time_text(0.1234), "123 ms");
  EXPECT_EQ(time_text(61.25), "61.2 s");
  EXPECT_EQ(time_text(3723), "62.0 min");
  EXPECT_EQ(time_text(36000), "10.0 h");
  EXPECT_EQ(spread_text({.count = 3, .median = 0.002, .mean = 0.002, .deviation = 0.0001}), "2.00 ms ± 5 %");
  EXPECT_EQ(spread_text({.count = 1, .median = 0.002, .mean = 0.002}), "2.00 ms");
  EXPECT_EQ(times_text({.times = 12.345, .error = 0.41}), "12.3 ± 0.4");
  EXPECT_EQ(times_text({.times = 1234.4, .error = 21.3}), "1,234 ± 21");
  EXPECT_EQ(times_text({.times = 1.02, .error = 0.031}), "1.02 ± 0.03");
  EXPECT_EQ(times_text({.times = 12.345, .error = std::nullopt}), "12.3");
  EXPECT_EQ(rate_text(1234.6), "1,235");
  EXPECT_EQ(bytes_text(13.3e9), "13.3 GB");
  EXPECT_EQ(large_text(249.6e6), "250 M");
  EXPECT_EQ(hash_text(0xabc), "0000000000000abc");
}

TEST(ReportText, FitsATerminal) {
  std::istringstream lines(show::as_text(document(made_up())));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(show::columns_of(line), show::terminal_columns) << line;
}

// Without the lines' ends, where sentences break.
std::string in_one_line(const std::string& text) { return std::regex_replace(text, std::regex("\\s+"), " "); }

TEST(ReportText, SaysWhatWasFound) {
  const Result r = made_up();
  const std::string text = in_one_line(show::as_text(document(r)));
  for (const char* part : {"toy · Toy · fp32, past fp16 · a clock", "✓ about ", "times faster with the past",
                           "The same logits bit for bit in every variant", "prompt 300 after 1,000", " 2,048 ",
                           "Faster than recomputing: ", "Peak memory 123 MB."}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_NE(show::as_text(document(r), {.colour = true}).find("\033[1;32m✓\033[0m"), std::string::npos);
}

TEST(ReportText, NeverCallsInterpolationMeasurement) {
  Toy toy;
  Options o;
  o.new_tokens = 500;
  o.prompt_tokens = {4};
  o.seconds = 100;
  const Result r = measured(toy, o);
  ASSERT_TRUE(r.generation[0].sampled());
  const std::string text = in_one_line(show::as_text(document(r)));
  EXPECT_NE(text.find("without past ~"), std::string::npos) << text;
  EXPECT_NE(text.find("interpolated between them"), std::string::npos) << text;
  EXPECT_NE(show::as_markdown(document(r)).find("| ~"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(report_json(r))["generation"][0]["without_past_is_sampled"], true);
}

TEST(ReportText, AFailureHasNoTimes) {
  Toy toy;
  toy.wrong_from = 8;
  const Result r = measured(toy, {.new_tokens = 5, .prompt_tokens = {4}});
  const std::string text = in_one_line(show::as_text(document(r)));
  EXPECT_NE(text.find("✗ no speed-up, for the answer changes: without past, the logits after 8 tokens are not those"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("times faster"), std::string::npos) << text;
  const auto json = nlohmann::json::parse(report_json(r));
  EXPECT_EQ(json["holds"], false);
  EXPECT_EQ(json["disagreements"][0]["variant"], "without past");
  EXPECT_EQ(show::as_csv(document(r)).find('\n'), show::as_csv(document(r)).size() - 1) << "more than a heading";
}

TEST(ReportCsv, HasALineForEachVariant) {
  const Result r = made_up();
  std::istringstream lines(show::as_csv(document(r)));
  std::string heading, line;
  std::getline(lines, heading);
  int count = 0;
  for (; std::getline(lines, line); ++count) {
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), std::count(heading.begin(), heading.end(), ',')) << line;
  }
  EXPECT_EQ(count, 4 * 2 + 3 * 4);
}

TEST(ReportJson, HoldsEverySample) {
  const Result r = made_up();
  const auto json = nlohmann::json::parse(report_json(r));
  EXPECT_EQ(json["schema"], "pkv-bench/1");
  EXPECT_EQ(json["generation"].size(), 4u);
  EXPECT_EQ(json["generation"][0]["with_past"]["per_token"].size(), 40u);
  EXPECT_EQ(json["generation"][0]["with_past"]["per_token"][39]["token"], 40);
  EXPECT_EQ(json["generation"][0]["with_past"]["per_token"][39]["seconds"]["samples"].size(), 3u);
  EXPECT_DOUBLE_EQ(json["generation"][0]["faster"]["times"], r.generation[0].faster().times);
  EXPECT_EQ(json["reuse"][2]["disk"]["first_token_seconds"]["samples"].size(), 3u);
  EXPECT_EQ(json["generation"][0]["logits_hash"].get<std::string>().size(), 16u);
}

TEST(Reports, ShowTheHashOfWhateverWasFed) {
  Toy toy;
  const Result r = measured(toy, {.new_tokens = 0, .prompt_tokens = {4}, .prefix_tokens = {1, 16}});
  ASSERT_EQ(r.reuse.size(), 2u);
  for (const Reuse& u : r.reuse) {
    const std::string hash = hash_text(u.hash);
    for (const std::string& report :
         {show::as_text(document(r)), show::as_markdown(document(r)), show::as_csv(document(r)), report_json(r),
          show::as_html(document(r, {.program = "pkv"}, "pkv bench"))}) {
      EXPECT_NE(report.find(hash), std::string::npos) << hash << " in\n" << report.substr(0, 2000);
    }
  }
}

TEST(Reports, AreWellFormed) {
  Toy toy, wrong;
  wrong.wrong_from = 8;
  Result awkward = made_up();
  awkward.subject.name = "<b>\xff\x01&\"'";
  awkward.notes.push_back("</p></script>");
  const std::map<std::string, Result> results{
      {"all", made_up()},
      {"awkward", awkward},
      {"one", measured(toy, {.new_tokens = 1, .prompt_tokens = {4}, .repetitions = 1})},
      {"prefixes", measured(toy, {.new_tokens = 0, .prefix_tokens = {1, 16}, .repetitions = 1})},
      {"wrong", measured(wrong, {.new_tokens = 5, .prompt_tokens = {4}})}};
  std::map<std::string, std::string> files;
  for (const auto& [name, r] : results) {
    files[name + ".html"] = show::as_html(document(r, {.program = "pkv"}, "pkv bench '<toy>'"));
    files[name + ".json"] = report_json(r);
    if (const std::string picture = report_svg(r); !picture.empty()) files[name + ".svg"] = picture;
  }
  EXPECT_EQ(files.size(), 5u + 5 + 2);
  support::expect_valid(files);
}

TEST(ReportMarkdown, HasBothTables) {
  const std::string text = show::as_markdown(document(made_up()));
  EXPECT_NE(text.find("| prompt |  | total | tokens/s |"), std::string::npos);
  EXPECT_NE(text.find("| prefix | recomputed |"), std::string::npos);
}

TEST(ReportSvg, DrawsNoMorePointsThanCanBeSeen) {
  Toy toy;
  Options o;
  o.new_tokens = 3000;
  o.prompt_tokens = {4};
  o.repetitions = 1;
  o.seconds = 100;
  const std::string text = report_svg(measured(toy, o));
  const std::regex path("<path d=\"M([^H\"]*)\" class=\"line\"");
  int curves = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), path), end; at != end; ++at, ++curves) {
    const std::string points = (*at)[1];
    EXPECT_LE(std::count(points.begin(), points.end(), 'L'), 400);
  }
  EXPECT_EQ(curves, 4);
  EXPECT_NE(text.find("3,000</text>"), std::string::npos);
}

// 1, 2 or 5 times a power of ten, whatever the first and the last token are.
TEST(ReportSvg, HasRoundTicksAndFollowsDarkMode) {
  Toy toy;
  Options o;
  o.new_tokens = 700;
  o.prompt_tokens = {16};
  o.repetitions = 1;
  o.seconds = 100;
  const std::string text = report_svg(measured(toy, o));
  const std::regex tick(R"(text-anchor="middle" class="tick">([0-9,]+)</text>)");
  std::vector<std::string> ticks;
  for (std::sregex_iterator at(text.begin(), text.end(), tick), end; at != end; ++at) ticks.push_back((*at)[1]);
  EXPECT_EQ(ticks, (std::vector<std::string>{"200", "400", "600", "200", "400", "600"}));
  EXPECT_NE(text.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_EQ(text.find("fill=\"#"), std::string::npos) << "a colour of its own";
}

TEST(ReportSvg, IsEmptyWithoutGeneration) {
  Toy toy;
  Options o;
  o.new_tokens = 0;
  o.prefix_tokens = {4};
  EXPECT_EQ(report_svg(measured(toy, o)), "");
  o.new_tokens = 1;
  EXPECT_EQ(report_svg(measured(toy, o)), "") << "a curve has two points";
}

}  // namespace
}  // namespace pkv::measure
