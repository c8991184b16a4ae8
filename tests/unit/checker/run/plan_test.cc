#include "checker/run/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"

namespace pkv::check {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Experiment* named(const Plan& plan, std::string_view name) {
  for (const auto& e : plan.experiments) {
    if (e.name == name) return &e;
  }
  return nullptr;
}

std::string error_of(const auto& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::usage);
    return e.what();
  }
  return "no error";
}

TEST(Splits, AreParsed) {
  EXPECT_EQ(parse_splits("").choice, Splits::Choice::automatic);
  EXPECT_EQ(parse_splits("all").choice, Splits::Choice::all);
  EXPECT_EQ(parse_splits("last").choice, Splits::Choice::last);
  EXPECT_THAT(parse_splits("3,5").at, ElementsAre(3, 5));
  for (const char* bad : {"first", "3,", ",3", "3;5", "3, 5", "1e3", "99999999999999999999"}) {
    EXPECT_THAT(error_of([&] { parse_splits(bad); }), HasSubstr("all, last or numbers like 3,5")) << bad;
  }
}

TEST(Plan, OfFourTokens) {
  const Plan plan = make_plan(4, {});
  std::vector<std::string> names;
  for (const auto& e : plan.experiments) names.push_back(e.name);
  EXPECT_THAT(names, ElementsAre("last token split off", "every split point", "token by token", "chunks of 2",
                                 "chunks of 3", "one past used twice", "fork, another text", "rewind, go on",
                                 "rewind, another text", "two pasts at once", "two texts in a call"));
  EXPECT_THAT(plan.experiments[0].trials[0].pieces, ElementsAre(3, 1));
  EXPECT_EQ(plan.experiments[1].trials.size(), 3u);
  EXPECT_THAT(named(plan, "chunks of 3")->trials[0].pieces, ElementsAre(3, 1));
  EXPECT_THAT(plan.influence_at, ElementsAre(2, 3));
  EXPECT_THAT(plan.notes, ElementsAre("Chunks of 7, 64 tokens were left out: the text has 4."));
}

TEST(Plan, NeedsTwoTokens) {
  EXPECT_THAT(error_of([] { make_plan(1, {}); }), HasSubstr("at least two tokens"));
  EXPECT_THAT(error_of([] { make_plan(0, {}); }), HasSubstr("found:    0 tokens"));
  EXPECT_NO_THROW(make_plan(2, {}));
}

TEST(Plan, TriesEverySplitOfShortTextsAndASampleOfLongOnes) {
  EXPECT_EQ(named(make_plan(64, {}), "every split point")->trials.size(), 63u);
  const Plan sample = make_plan(500, {});
  const Experiment* e = named(sample, "34 of 499 splits");
  ASSERT_NE(e, nullptr);
  std::vector<std::int64_t> at;
  for (const auto& t : e->trials) at.push_back(t.pieces[0]);
  EXPECT_THAT(at, testing::IsSupersetOf({1, 2, 3, 63, 64, 65, 255, 256, 257, 250, 498, 499}));
  EXPECT_THAT(sample.notes, ElementsAre(HasSubstr("34 of 499 split points")));
  EXPECT_EQ(named(make_plan(500, parse_splits("all")), "every split point")->trials.size(), 499u);
}

TEST(Plan, TakesListedSplits) {
  const Plan plan = make_plan(10, parse_splits("5,3,5"));
  const Experiment* e = named(plan, "split at 3, 5");
  ASSERT_NE(e, nullptr);
  EXPECT_EQ(e->trials.size(), 2u);
  EXPECT_THAT(named(plan, "rewind, go on")->trials[0].pieces, ElementsAre(3, 7));
  EXPECT_THAT(error_of([] { make_plan(10, parse_splits("10")); }), HasSubstr("1 to 9"));
  EXPECT_THAT(error_of([] { make_plan(10, parse_splits("0")); }), HasSubstr("1 to 9"));
}

TEST(Plan, OfTheLastSplitAlone) {
  const Plan plan = make_plan(10, parse_splits("last"));
  EXPECT_EQ(named(plan, "every split point"), nullptr);
  EXPECT_THAT(named(plan, "one past used twice")->trials[0].pieces, ElementsAre(9, 1));
}

TEST(Plan, EveryTrialFeedsTheWholeText) {
  for (const std::int64_t n : {2, 3, 7, 8, 63, 64, 65, 66, 130, 1000}) {
    for (const auto& e : make_plan(n, {}).experiments) {
      for (const auto& t : e.trials) {
        EXPECT_EQ(std::accumulate(t.pieces.begin(), t.pieces.end(), std::int64_t{0}), n) << e.name;
        EXPECT_GT(*std::min_element(t.pieces.begin(), t.pieces.end()), 0) << e.name;
        EXPECT_GE(t.pieces.size(), 2u) << e.name;
      }
    }
  }
}

}  // namespace
}  // namespace pkv::check
