#include "checker/compare/spread.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace pkv::check {
namespace {

const Description kModel{.name = "m", .format = "bf16", .layers = 4, .width = 64};

// Of deviation 1, moved by so much up and down.
void add(Spread& spread, int rows, float by) {
  for (int r = 0; r < rows; ++r)
    add_row(spread, std::vector<float>{1, -1, 1, -1}, std::vector<float>{1 + by, -1 - by, 1 + by, -1 - by});
}

TEST(Spread, IsHeldAgainstWhatRoundingsAddUpTo) {
  const double once = relative_rounding(kModel);
  EXPECT_NEAR(once, std::sqrt(33.0) / 256, 1e-4);
  for (const auto& [rows, times] : {std::pair{1, 2.2}, {7, 2.2}, {8, 1.6}, {20, 1.6}}) {
    for (const double off : {0.95, 1.05}) {
      Spread spread = spread_of(kModel);
      add(spread, rows, static_cast<float>(off * times * once));
      EXPECT_NEAR(spread.moved(), off * times * once, 1e-4);
      EXPECT_EQ(spread.parts(), off > 1) << rows << " rows, " << off;
    }
  }
}

// What the report says would not show is what does not: a fault of one logit, in one row of many.
TEST(Spread, OneLogitShowsFromTheBlindSpotOn) {
  for (const double times : {0.98, 1.02}) {
    Spread spread = spread_of(kModel);
    std::vector<float> right(400), other(400);
    for (std::size_t i = 0; i < right.size(); ++i) right[i] = other[i] = i % 2 == 0 ? 1.0f : -1.0f;
    add(spread, 30, 0);
    const double blind = spread.farthest_could();  // of deviation 1
    other[7] += static_cast<float>(times * blind);
    add_row(spread, right, other);
    EXPECT_NEAR(spread.hidden(), blind, 1e-6);
    EXPECT_FALSE(spread.parts_in_the_mean());
    EXPECT_EQ(spread.parts(), times > 1) << spread.farthest << " of " << spread.farthest_could();
  }
}

TEST(Spread, AShiftOfAllLogitsIsNone) {
  Spread spread = spread_of(kModel);
  add_row(spread, std::vector<float>{1, -1, 1, -1}, std::vector<float>{6, 4, 6, 4});
  EXPECT_EQ(spread.moved(), 0);
}

TEST(Spread, TheMeanOfLogitsIsRoundedOnce) {
  Spread spread = spread_of(kModel);
  add_row(spread, std::vector<float>{101, 99}, std::vector<float>{101.5, 98.5});
  EXPECT_NEAR(spread.moved(), 0.5 / std::sqrt(1 + 10000.0 / 33), 1e-6);
}

TEST(Spread, RowsThatAreNotFiniteAndUnknownSizesSayNothing) {
  Spread spread = spread_of({.name = "m", .format = "bf16"});
  const float inf = std::numeric_limits<float>::infinity();
  add_row(spread, std::vector<float>{1, -inf}, std::vector<float>{1, -inf});
  add_row(spread, std::vector<float>{1, 1}, std::vector<float>{1, 2});
  EXPECT_EQ(spread.rows, 0);
  add(spread, 1, 1);
  EXPECT_FALSE(spread.parts());
}

}  // namespace
}  // namespace pkv::check
