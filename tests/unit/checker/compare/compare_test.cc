// KL divergences against scipy 1.17: p, q = log_softmax of float64; sum(exp(p) * (p - q)).
#include "checker/compare/compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace pkv::check {
namespace {

using Row = std::vector<float>;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();
const Precision& fp32 = precision_of("fp32");

TEST(Kl, IsThatOfScipy) {
  const Row a{1.5f, -2.25f, 0.125f, 7, 3.5f, -0.5f, 2, 2}, b{1.25f, -2.5f, 0.25f, 6, 3.5f, -0.75f, 2.5f, 1};
  EXPECT_NEAR(kl_divergence(a, b), 0.033031515204149216, 1e-15);
  EXPECT_EQ(kl_divergence(a, a), 0);
}

TEST(Kl, OfHugeLogits) {
  EXPECT_DOUBLE_EQ(kl_divergence(Row{1e4f, 0, -1e4f}, Row{0, 1e4f, -1e4f}), 1e4);
  EXPECT_NEAR(kl_divergence(Row{88888, 88887.5f, 88880}, Row{88888, 88888, 88880}), 0.030298198436856584, 1e-12);
  EXPECT_EQ(kl_divergence(Row{3e38f, -3e38f}, Row{3e38f, -3e38f}), 0);
}

TEST(Kl, OfMaskedTokens) {
  EXPECT_NEAR(kl_divergence(Row{0, -infinity, 1}, Row{0.5f, -infinity, 1}), 0.026344585976886298, 1e-15);
  EXPECT_EQ(kl_divergence(Row{0, 1}, Row{0, -infinity}), infinity);
}

TEST(Kl, OfNothing) { EXPECT_EQ(kl_divergence({}, {}), 0); }

TEST(CompareRow, EqualBits) {
  const auto row = compare_row(Row{1, -infinity, 2}, Row{1, -infinity, 2}, fp32);
  EXPECT_TRUE(row.same_bits);
  EXPECT_EQ(row.max_abs, 0);
  EXPECT_EQ(row.not_finite, 0);
}

TEST(CompareRow, ZerosOfBothSignsAreNoDistanceApart) {
  const auto row = compare_row(Row{0.0f, 1}, Row{-0.0f, 1}, fp32);
  EXPECT_FALSE(row.same_bits);
  EXPECT_EQ(row.max_abs, 0);
  EXPECT_EQ(row.ulps, 0);
}

TEST(CompareRow, UlpsAreThoseOfTheLargestDistance) {
  const auto row = compare_row(Row{1, 1e-30f}, Row{1.5f, -1e-30f}, fp32);
  EXPECT_EQ(row.max_abs, 0.5);
  EXPECT_EQ(row.ulps, 4194304);
}

TEST(CompareRow, FlipOfTheTopToken) {
  EXPECT_TRUE(compare_row(Row{1, 2}, Row{3, 2}, fp32).top_flipped);
  EXPECT_FALSE(compare_row(Row{2, 2}, Row{2.5f, 2}, fp32).top_flipped);
}

TEST(CompareRow, NotFiniteIsCountedEvenWhenEqual) {
  EXPECT_EQ(compare_row(Row{nan, 1}, Row{nan, 1}, fp32).not_finite, 1);
  EXPECT_TRUE(compare_row(Row{nan, 1}, Row{nan, 1}, fp32).same_bits);
  const auto row = compare_row(Row{1, 2, infinity}, Row{nan, 2.5f, infinity}, fp32);
  EXPECT_EQ(row.not_finite, 2);
  EXPECT_EQ(row.max_abs, 0.5);
}

TEST(CompareRow, OneMaskedAndOneNotIsInfinitelyFar) {
  const auto row = compare_row(Row{-infinity, 1}, Row{0, 1}, fp32);
  EXPECT_EQ(row.max_abs, infinity);
  EXPECT_EQ(row.not_finite, 0);
}

TEST(LargestLogit, LeavesOutInfinity) { EXPECT_EQ(largest_logit(Row{1, -3, -infinity, nan, 2}), 3); }

TEST(Difference, KeepsTheWorstAndTheFirst) {
  const Tolerance tolerance{.same_bits = false, .bound = 0.1};
  Difference sum;
  sum.add({.same_bits = false, .max_abs = 0.05, .ulps = 5}, {1, 1}, tolerance);
  EXPECT_FALSE(sum.first);
  sum.add({.same_bits = false, .max_abs = 0.5, .ulps = 50, .kl = 0.1, .top_flipped = true}, {3, 4}, tolerance);
  sum.add({.same_bits = false, .max_abs = 0.2, .ulps = 20, .kl = 0.2}, {2, 9}, tolerance);
  sum.add({}, {1, 2}, tolerance);
  EXPECT_EQ(sum.positions, 4);
  EXPECT_EQ(sum.max_abs, 0.5);
  EXPECT_EQ(sum.ulps, 50);
  EXPECT_EQ(sum.max_kl, 0.2);
  EXPECT_EQ(sum.top_flips, 1);
  EXPECT_EQ(sum.worst, (Place{3, 4}));
  EXPECT_EQ(sum.first, (Place{2, 9}));
}

TEST(Difference, OfAPromiseIsAnyBit) {
  Difference sum;
  sum.add({.same_bits = false}, {1, 1}, {.same_bits = true, .bound = 1});
  EXPECT_EQ(sum.first, (Place{1, 1}));
  EXPECT_EQ(sum.worst, (Place{1, 1}));
}

}  // namespace
}  // namespace pkv::check
