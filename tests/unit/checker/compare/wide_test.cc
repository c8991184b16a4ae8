// What wider runs prove: rounding is symmetric, a fault is not. The figures are those of recorded runs of transformers.
#include "checker/compare/wide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace pkv::check {
namespace {

Description model(const char* format) { return {.name = "m", .format = format, .layers = 4, .width = 64}; }

WideRuns of(double without, double with, double narrow_apart, double apart, const char* format = "bf16",
            double largest = 4) {
  WideRuns runs{.format = "fp32",
                .rows = 24,
                .every_row = true,
                .without = without,
                .with = with,
                .narrow_apart = narrow_apart,
                .apart = apart,
                .largest_logit = largest};
  set_bounds(runs, model(format));
  return runs;
}

double modelled(const char* format, double largest = 4) { return rounding_bound(model(format), largest).value; }

TEST(WideRuns, RoundingIsAsFarOnBothSides) {
  EXPECT_FALSE(parts(of(0.058, 0.058, 0.03, 2e-6)));
  EXPECT_FALSE(parts(of(0.057, 0.053, 0.06, 2e-6)));
}

TEST(WideRuns, AFaultOfOneFormatIsFartherOnOneSide) {
  EXPECT_TRUE(parts(of(0.04, 3.24, 3.24, 2e-6)));
  EXPECT_TRUE(parts(of(3.24, 0.04, 3.24, 2e-6))) << "of the run without a past";
  EXPECT_TRUE(parts(of(3.1e-6, 2.93, 2.93, 0, "fp32")));
}

TEST(WideRuns, AFaultOfThePastShowsInTheWiderFormatWhateverTheNarrowOneHides) {
  const WideRuns runs = of(0.058, 0.06, 0.059, 0.0596);
  EXPECT_FALSE(runs.agree());
  EXPECT_TRUE(parts(runs));
}

TEST(WideRuns, NoneProveNothing) { EXPECT_FALSE(parts({})); }

// A granite whose attention is not scaled down, in fp16: in fp32, too, roundings are blown up beyond the model of them.
TEST(WideRuns, WhatBlowsUpRoundingsDoesSoInBothFormats) {
  const double model32 = modelled("fp32");
  const WideRuns calm = of(0.002, 0.002, 0.002, 0, "fp16"), sharp = of(0.25, 0.3, 0.3, 6 * model32, "fp16");
  EXPECT_NEAR(calm.bound, model32, 1e-12) << "the model of rounding is the least";
  EXPECT_GT(sharp.bound, 6 * model32);
  EXPECT_FALSE(parts(sharp));
  EXPECT_TRUE(parts(of(0.002, 0.3, 0.002, 6 * model32, "fp16"))) << "of the run nearer to the wide one";
  EXPECT_NEAR(of(9, 9, 0, 0, "fp16").bound, 16 * model32, 1e-12) << "no further than that";
}

TEST(WideRuns, InFp32NothingIsJudgedMoreStrictlyThanByTheModelOfRounding) {
  const double model32 = modelled("fp32");
  EXPECT_FALSE(parts(of(0.01 * model32, 0.9 * model32, 0.9 * model32, 0, "fp32")));
  EXPECT_TRUE(parts(of(0.01 * model32, 1.1 * model32, 1.1 * model32, 0, "fp32")));
}

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
  const Bound bound{.value = 3.65, .largest_logit = 30, .values_format = "bf16", .reason = "a model of 30 layers"};
  WideRuns runs = of(0.25, 0.3, 0.3, 1e-5);
  const Bound measured = narrowed(bound, runs);
  EXPECT_NEAR(measured.value, 1, 1e-9);
  EXPECT_THAT(measured.reason, testing::HasSubstr("held against the same run in fp32"));
  runs.every_row = false;
  EXPECT_EQ(narrowed(bound, runs).value, 3.65);
  runs.every_row = true, runs.apart = 1;
  EXPECT_EQ(narrowed(bound, runs).value, 3.65) << "wide runs that part measure no rounding";
  EXPECT_NEAR(narrowed(bound, of(4, 4, 3, 1e-6)).value, 1.25 * 3.65, 1e-9) << "raised by a quarter at most";
  const WideRuns shaken = of(4, 4, 3, 0.6 * modelled("fp32"));
  EXPECT_NEAR(narrowed(bound, shaken).value, 4 * 0.6 * 3.65, 1e-6) << "as far as the wider runs, which no fault moves";
  const Bound fine{.value = 1e-3, .largest_logit = 4, .values_format = "fp32"};
  EXPECT_NEAR(narrowed(fine, of(4, 4, 3, 1e-5, "fp32")).value, 8e-3, 1e-9) << "in fp32 eight times";
}

// Logits that agree with the wide run are still rounded themselves.
TEST(WideRuns, NothingIsFinerThanALogit) { EXPECT_GE(of(0, 0, 0, 0).rounding, 4.0 / 256); }

}  // namespace
}  // namespace pkv::check
