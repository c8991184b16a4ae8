#include "checker/article/article.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "checker/article/document.h"
#include "checker/check/run.h"
#include "checker/compare/columns.h"
#include "mutants/toy.h"

namespace pkv::article {
namespace {

using testing::HasSubstr;
using testing::Not;

check::Report report_of(const toy::Bugs& bugs) {
  toy::Subject subject(bugs);
  return check::run(subject, std::vector<std::int32_t>{3, 1, 4, 2},
                    {.splits = check::parse_splits("last"), .text = "I like to eat"});
}

std::vector<RetoldRun> told(bool real) {
  toy::Bugs absent;
  absent.keeps_nothing = true;
  std::vector<RetoldRun> all;
  for (const PublishedRun& run : published_runs()) {
    const bool fine = run.conclusion == PublishedRun::Conclusion::can;
    all.push_back({&run, real, report_of(fine ? toy::Bugs{} : absent), report_of({})});
  }
  return all;
}

// The post's relative Δ is by its own definition max |Δ| / |max without|, so its figures must agree with each other.
TEST(Article, PublishedFiguresAgreeWithEachOther) {
  ASSERT_EQ(published_runs().size(), 7u);
  for (const PublishedRun& run : published_runs()) {
    const Figures& f = run.figures;
    EXPECT_NEAR(f.max_relative, f.max_abs / std::abs(f.max_without), 0.02 * f.max_relative) << run.name;
    EXPECT_GE(f.mean_abs, std::abs(f.mean_with - f.mean_without) - 1e-6) << run.name;
    EXPECT_LT(f.min_without, f.mean_without) << run.name;
    EXPECT_LT(f.mean_without, f.max_without) << run.name;
  }
}

TEST(Article, RoundingExplainsThePostsGoodRunsAndNoOther) {
  for (const PublishedRun& run : published_runs()) {
    const bool good = run.conclusion == PublishedRun::Conclusion::can;
    EXPECT_EQ(run.figures.max_abs <= published_bound(run).value, good) << run.name;
  }
}

TEST(Article, TellsWhatHappened) {
  const auto runs = told(false);
  EXPECT_EQ(what_happened(runs[0]), "nothing wrong");
  EXPECT_EQ(what_happened(runs[3]), "past-absent");
  EXPECT_TRUE(explained(runs[3]));
  RetoldRun wrong = runs[3];
  wrong.now = wrong.then;
  EXPECT_FALSE(explained(wrong)) << "a correct implementation that fails is no happy end";
  wrong = runs[3];
  wrong.then.causes.clear();
  EXPECT_EQ(what_happened(wrong), "unknown");
  EXPECT_FALSE(explained(wrong));
}

TEST(Article, TextFitsTheTerminal) {
  for (const bool real : {false, true}) {
    std::istringstream lines(show::as_text(document(told(real))));
    for (std::string line; std::getline(lines, line);)
      EXPECT_LE(show::columns_of(line), show::terminal_columns) << line;
  }
}

TEST(Article, FiguresStandBesideOursForThePostsOwnModels) {
  auto runs = told(true);
  runs[0].then.table.without_past.mean = -120.728113 * 1.01;
  const std::string text = show::as_text(document(runs));
  EXPECT_THAT(text, HasSubstr("mean without     -120.728113  -121.935394     1 %"));
  EXPECT_THAT(text, HasSubstr("4.971110e-07"));
  EXPECT_THAT(show::as_text(document(told(false))), Not(HasSubstr("off by")));
}

TEST(Article, EndsWithATableOfAll) {
  const auto runs = told(false);
  EXPECT_THAT(show::as_text(document(runs)), HasSubstr("Falcon-7B 8-bit  cannot, 10     past-absent    ✓ can"));
  EXPECT_THAT(show::as_text(document(runs)),
              HasSubstr("Of 4 runs whose model was found unable to reuse its past, 4 can."));
  EXPECT_THAT(show::as_markdown(document(runs)), HasSubstr("| MPT-7B 4-bit | cannot, 0.34 | past-absent | ✓ can |"));
}

TEST(Article, JsonHoldsTheReports) {
  const auto json = nlohmann::json::parse(report_json(told(false)));
  EXPECT_EQ(json["schema"], "pkv-article/1");
  ASSERT_EQ(json["runs"].size(), 7u);
  EXPECT_EQ(json["runs"][3]["what_happened"], "past-absent");
  EXPECT_EQ(json["runs"][3]["published"]["figures"]["max_abs"], 19.15625);
  EXPECT_EQ(json["runs"][3]["as_then"]["schema"], "pkv-check/2");
  EXPECT_TRUE(json["runs"][3]["can_reuse_past"]);
}

}  // namespace
}  // namespace pkv::article
