// The search for causes, given what each would have made of a call.
#include "checker/causes/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

namespace pkv::check {
namespace {

Logits rows(std::vector<float> values) { return {.vocab = 2, .values = std::move(values)}; }

// One call of two rows. Of all causes, that of positions counted anew gives `simulated`.
Found found_with(std::vector<float> faulty, std::vector<float> simulated) {
  Search search;
  search.observations.push_back({.ids = {1, 2, 3}, .past = 1, .right = rows({1, 2, 3, 4}), .faulty = rows(faulty)});
  search.tolerance = {.same_bits = false, .bound = 1e-3};
  search.simulate = [&](const Observation&, std::span<const Supposition> what) -> std::optional<Logits> {
    if (what.size() != 1 || what[0].cause != "position-restarted") return std::nullopt;
    return rows(simulated);
  };
  return find_causes(search);
}

TEST(FindCauses, TheRightNumbersConfirm) {
  const Found found = found_with({5, 6, 7, 8}, {5, 6, 7, 8});
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
  Search search;
  search.observations.push_back({.ids = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                                 .past = 10,
                                 .right = rows({1, 2, 3, 4}),
                                 .faulty = rows({5, 6, 7, 8})});
  search.tolerance = {.same_bits = false, .bound = 1e-3};
  search.simulate = [&](const Observation&, std::span<const Supposition> what) -> std::optional<Logits> {
    const auto off = [&](std::size_t i, std::int64_t right) {
      return 0.1f * static_cast<float>(std::abs(what[i].count - right));
    };
    const bool window = what[0].cause == "window", stops = what.back().cause == "position-stops";
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
  const Found found = find_causes(search);
  ASSERT_EQ(found.causes.size(), 1u);
  EXPECT_TRUE(found.causes[0].confirmed);
  EXPECT_EQ(found.causes[0].cause, "window + position-stops");
  EXPECT_THAT(found.causes[0].statement, testing::AllOf(testing::HasSubstr("N = 5"), testing::HasSubstr("N = 7")));
}

}  // namespace
}  // namespace pkv::check
