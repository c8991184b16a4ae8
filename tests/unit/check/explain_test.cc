// The search for causes, given what each would have made of a call.
#include "check/explain.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace pkv::check
