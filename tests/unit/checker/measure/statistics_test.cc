#include "checker/measure/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pkv::measure {
namespace {

using Positions = std::vector<std::int64_t>;
using Values = std::vector<double>;

TEST(Spread, OfValues) {
  const Spread s = spread_of(Values{4, 1, 2, 9});
  EXPECT_EQ(s.count, 4);
  EXPECT_DOUBLE_EQ(s.median, 3);
  EXPECT_DOUBLE_EQ(s.mean, 4);
  EXPECT_NEAR(s.deviation, 3.5590260840104371, 1e-12);  // statistics.stdev([4, 1, 2, 9])
  EXPECT_EQ(s.least, 1);
  EXPECT_EQ(s.most, 9);
  EXPECT_EQ(spread_of(Values{5}).deviation, 0);
  EXPECT_EQ(spread_of(Values{}).count, 0);
}

// hyperfine: (a / b) * sqrt((da / a)^2 + (db / b)^2)
TEST(Ratio, ErrorsPropagate) {
  const Ratio r = ratio_of({.count = 5, .median = 30, .mean = 30, .deviation = 3},
                           {.count = 5, .median = 2, .mean = 2, .deviation = 0.1});
  EXPECT_DOUBLE_EQ(r.times, 15);
  ASSERT_TRUE(r.error);
  EXPECT_NEAR(*r.error, 15 * std::sqrt(0.01 + 0.0025), 1e-12);
  EXPECT_FALSE(ratio_of(spread_of(Values{3}), spread_of(Values{1, 2})).error);
}

TEST(Filled, LiesOnLinesBetweenWhatWasMeasured) {
  EXPECT_EQ(filled(Positions{0, 4, 6}, Values{1, 9, 5}, 7), (Values{1, 3, 5, 7, 9, 7, 5}));
  EXPECT_EQ(filled(Positions{0, 1, 2}, Values{3, 1, 2}, 3), (Values{3, 1, 2}));
  EXPECT_EQ(filled(Positions{0}, Values{8}, 1), (Values{8}));
}

TEST(SpreadPositions, HaveBothEnds) {
  EXPECT_EQ(spread_positions(9, 3), (Positions{0, 4, 8}));
  EXPECT_EQ(spread_positions(3, 3), (Positions{0, 1, 2}));
  EXPECT_EQ(spread_positions(3, 100), (Positions{0, 1, 2}));
  EXPECT_EQ(spread_positions(1, 5), (Positions{0}));
  EXPECT_EQ(spread_positions(1000, 2), (Positions{0, 999}));
  for (std::int64_t size = 1; size < 40; ++size) {
    for (std::int64_t count = 2; count <= size; ++count) {
      const Positions p = spread_positions(size, count);
      EXPECT_EQ(std::ssize(p), count) << size;
      EXPECT_EQ(p.front(), 0);
      EXPECT_EQ(p.back(), size - 1);
    }
  }
}

TEST(Passes, CountsFromWhereItStays) {
  EXPECT_EQ(passes(Values{1, 4, 9}, Values{1, 1, 1}, 2), 2);  // sums 1, 5, 14 : 1, 2, 3
  EXPECT_EQ(passes(Values{1, 4, 9}, Values{1, 1, 1}, 10), std::nullopt);
  EXPECT_EQ(passes(Values{3, 0, 9}, Values{1, 1, 1}, 2), 3);  // 3, 1.5, 4 times: passed, lost, passed
  EXPECT_EQ(passes(Values{9, 0, 0}, Values{1, 1, 9}, 2), std::nullopt);
}

}  // namespace
}  // namespace pkv::measure
