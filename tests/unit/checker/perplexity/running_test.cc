// Statistics that keep no values, against hand-computed figures and against those that keep all.
#include "checker/perplexity/running.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace pkv::perplexity {
namespace {

TEST(RunningMean, OfAFewValues) {
  RunningMean m;
  EXPECT_TRUE(std::isnan(m.mean()));
  m.add(2);
  EXPECT_EQ(m.mean(), 2);
  EXPECT_TRUE(std::isnan(m.standard_error())) << "one value says nothing of the spread";
  for (const double v : {4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0}) m.add(v);
  EXPECT_EQ(m.count(), 8);
  EXPECT_DOUBLE_EQ(m.mean(), 5);
  EXPECT_DOUBLE_EQ(m.deviation(), std::sqrt(32.0 / 7));
  EXPECT_DOUBLE_EQ(m.standard_error(), std::sqrt(32.0 / 7 / 8));
}

// The sum of squares would lose all digits here.
TEST(RunningMean, DoesNotCancel) {
  RunningMean m;
  for (const double v : {1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16}) m.add(v);
  EXPECT_DOUBLE_EQ(m.mean(), 1e9 + 10);
  EXPECT_DOUBLE_EQ(m.deviation(), std::sqrt(30.0));
}

TEST(LogHistogram, QuantilesAreWithinHalfABin) {
  LogHistogram h;
  std::vector<double> values;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    values.push_back(std::exp(-20 * random_unit(7, i)));
    h.add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double q : {0.001, 0.25, 0.5, 0.9, 0.99, 0.9999}) {
    const double exact = values[static_cast<std::size_t>(std::ceil(q * 10000)) - 1];
    EXPECT_NEAR(h.quantile(q) / exact, 1, 0.005) << q;
  }
  EXPECT_EQ(h.largest(), values.back());
  EXPECT_LE(h.quantile(1), h.largest());
}

TEST(LogHistogram, ZeroAndWhatIsBeyondTheBins) {
  LogHistogram h;
  EXPECT_TRUE(std::isnan(h.quantile(0.5)));
  h.add(0);
  h.add(1e-30);
  EXPECT_EQ(h.quantile(0.99), 0);
  h.add(1e30);
  EXPECT_EQ(h.quantile(0.99), 1e30);
  EXPECT_EQ(h.quantile(0.5), 0);
  EXPECT_EQ(h.largest(), 1e30);
  h.add(LogHistogram::kFirstEdge);
  EXPECT_NEAR(h.quantile(0.75) / LogHistogram::kFirstEdge, 1, 0.01);
}

}  // namespace
}  // namespace pkv::perplexity
