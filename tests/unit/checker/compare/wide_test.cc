// What wider runs prove: rounding is symmetric, a fault is not. The figures are those of recorded runs of transformers.
#include "checker/compare/wide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace pkv::check {
namespace {

const Precision& bf16() { return precision_of("bf16"); }

WideRuns of(double without, double with, double narrow_apart, double apart) {
  return {.format = "fp32",
          .rows = 24,
          .every_row = true,
          .without = without,
          .with = with,
          .narrow_apart = narrow_apart,
          .apart = apart,
          .bound = 3e-5,
          .largest_logit = 4};
}

TEST(WideRuns, RoundingIsAsFarOnBothSides) {
  EXPECT_FALSE(parts(of(0.058, 0.058, 0.03, 2e-6), bf16()));
  EXPECT_FALSE(parts(of(0.057, 0.053, 0.06, 2e-6), bf16()));
}

TEST(WideRuns, AFaultOfOneFormatIsFartherOnOneSide) {
  EXPECT_TRUE(parts(of(0.04, 3.24, 3.24, 2e-6), bf16()));
  EXPECT_TRUE(parts(of(3.24, 0.04, 3.24, 2e-6), bf16())) << "of the run without a past";
  EXPECT_TRUE(parts(of(3.1e-6, 2.93, 2.93, 0), precision_of("fp32")));
}

TEST(WideRuns, AFaultOfThePastShowsInTheWiderFormatWhateverTheNarrowOneHides) {
  const WideRuns runs = of(0.058, 0.06, 0.059, 0.0596);
  EXPECT_FALSE(runs.agree());
  EXPECT_TRUE(parts(runs, bf16()));
}

TEST(WideRuns, NoneProveNothing) { EXPECT_FALSE(parts({}, bf16())); }

TEST(WideRuns, DistancesAreTheLargestOfAllRows) {
  WideRuns runs{.format = "fp32"};
  const std::vector<float> right{1, -8}, other{1.5f, -8}, wide{1.25f, -8}, wide_other{1.25f, -8.5f};
  add_row(runs, right, other, wide, wide_other);
  add_row(runs, right, right, right, right);
  EXPECT_EQ(runs.rows, 2);
  EXPECT_EQ(runs.without, 0.25);
  EXPECT_EQ(runs.with, 0.25);
  EXPECT_EQ(runs.narrow_apart, 0.5);
  EXPECT_EQ(runs.apart, 0.5);
  EXPECT_EQ(runs.largest_logit, 8);
  const std::vector<float> none{std::numeric_limits<float>::quiet_NaN(), 0};
  add_row(runs, right, none, wide, wide);
  EXPECT_TRUE(std::isinf(runs.with));
}

TEST(WideRuns, NarrowTheBoundWhereEveryPositionWasRun) {
  const Bound modelled{.value = 3.65, .largest_logit = 30, .values_format = "bf16", .reason = "a model of 30 layers"};
  WideRuns runs = of(0.25, 0.3, 0.3, 1e-5);
  const Bound measured = narrowed(modelled, runs);
  EXPECT_NEAR(measured.value, 1, 1e-9);
  EXPECT_THAT(measured.reason, testing::HasSubstr("held against the same run in fp32"));
  runs.every_row = false;
  EXPECT_EQ(narrowed(modelled, runs).value, 3.65);
  runs.every_row = true, runs.apart = 1;
  EXPECT_EQ(narrowed(modelled, runs).value, 3.65) << "wide runs that part measure no rounding";
  EXPECT_NEAR(narrowed(modelled, of(4, 4, 3, 1e-5)).value, 1.25 * 3.65, 1e-9) << "raised by a quarter at most";
}

// Logits that agree with the wide run are still rounded themselves.
TEST(WideRuns, NothingIsFinerThanALogit) { EXPECT_GE(measured_rounding(of(0, 0, 0, 0), bf16()), 4.0 / 256); }

}  // namespace
}  // namespace pkv::check
