// The search for causes, given what each would have made of a call.
#include "checker/causes/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <set>

namespace pkv::check {
namespace {

Logits rows(std::vector<float> values) { return {.vocab = 2, .values = std::move(values)}; }

// One call of two rows. Of all causes, that of positions counted anew gives `simulated`.
Causes found_with(std::vector<float> faulty, std::vector<float> simulated) {
  CauseSearch search;
  search.observations.push_back({.ids = {1, 2, 3}, .past = 1, .right = rows({1, 2, 3, 4}), .faulty = rows(faulty)});
  search.tolerance = {.same_bits = false, .bound = 1e-3};
  search.simulate = [&](const Observation&, std::span<const Supposition> what) -> std::optional<Logits> {
    if (what.size() != 1 || what[0].cause != CauseId::position_restarted) return std::nullopt;
    return rows(simulated);
  };
  return find_causes(search);
}

TEST(FindCauses, TheRightNumbersConfirm) {
  const Causes found = found_with({5, 6, 7, 8}, {5, 6, 7, 8});
  ASSERT_EQ(found.causes.size(), 1u);
  EXPECT_EQ(found.causes[0].cause, "position-restarted");
  EXPECT_TRUE(found.causes[0].confirmed);
}

TEST(FindCauses, NothingIsConfirmedByRowsThatAreNoNumbers) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  for (const float bad : {kNan, kInf}) {
    for (const auto& c : found_with({5, 6, 7, 8}, {5, 6, bad, bad}).causes) EXPECT_FALSE(c.confirmed) << bad;
  }
}

// Each of the two numbers is another beside the other than alone: 5 and 7, not 3 and 2.
TEST(FindCauses, TwoNumbersAreFoundTogether) {
  CauseSearch search;
  search.observations.push_back({.ids = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                                 .past = 10,
                                 .right = rows({1, 2, 3, 4}),
                                 .faulty = rows({5, 6, 7, 8})});
  search.tolerance = {.same_bits = false, .bound = 1e-3};
  search.simulate = [&](const Observation&, std::span<const Supposition> what) -> std::optional<Logits> {
    const auto off = [&](std::size_t i, std::int64_t right) {
      return 0.1f * static_cast<float>(std::abs(what[i].count - right));
    };
    const bool window = what[0].cause == CauseId::window, stops = what.back().cause == CauseId::position_stops;
    if (!window && !stops) return std::nullopt;
    float wrong = 0;
    if (what.size() == 2) {
      if (!window || !stops) return std::nullopt;
      wrong = off(0, 5) + off(1, 7);
    } else {
      wrong = 2 + (window ? off(0, 3) : off(0, 2));
    }
    return rows({5 + wrong, 6 + wrong, 7 + wrong, 8 + wrong});
  };
  const Causes found = find_causes(search);
  ASSERT_EQ(found.causes.size(), 1u);
  EXPECT_TRUE(found.causes[0].confirmed);
  EXPECT_EQ(found.causes[0].cause, "window + position-stops");
  EXPECT_THAT(found.causes[0].statement,
              testing::AllOf(testing::HasSubstr("only the last 5 keys are seen"), testing::HasSubstr("stop at 7")));
}

// Whatever the number of a cause is, its statement says it.
TEST(List, StatementsFillInTheirNumbers) {
  for (const Cause& cause : all_causes()) {
    if (!cause.has_number()) continue;
    for (const std::int64_t count : {1, 2, 37}) {
      if (count < cause.number.least) continue;
      const std::string statement = explanation_of({{cause.id, count}}).statement;
      EXPECT_EQ(statement.find(" N"), std::string::npos) << statement;
      EXPECT_TRUE(count == 1 || statement.find(" " + std::to_string(count)) != std::string::npos) << statement;
      EXPECT_THAT(statement, testing::Not(testing::HasSubstr(" 1 keys")));
    }
  }
}

// Each row says how its cause is shown, by what it could be confused with.
TEST(List, RowsAreWhole) {
  std::set<std::string_view> names;
  for (const Cause& c : all_causes()) {
    EXPECT_TRUE(names.insert(c.name).second) << c.name;
    EXPECT_EQ(find_cause(c.name), &cause_of(c.id));
    EXPECT_FALSE(c.statement.empty() || c.look_at.empty()) << c.name;
    EXPECT_FALSE(c.supposed && c.fed_instead != nullptr) << c.name << " is simulated in one way";
    EXPECT_EQ(c.has_number(), c.number.example >= c.number.least && c.number.example > 0) << c.name;
    EXPECT_TRUE(c.group == Group::alone || (c.supposed && c.reads_past)) << c.name << " may be one of two";
  }
  EXPECT_EQ(find_cause("no-such-cause"), nullptr);
}

}  // namespace
}  // namespace pkv::check
