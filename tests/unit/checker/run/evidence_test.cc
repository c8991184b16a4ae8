// What a run shows of the past, from how far logits move: what cannot be told is not told.
#include "checker/run/evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pkv::check {
namespace {

using testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

Logits logits_of(std::vector<float> values) {
  Logits logits;
  logits.vocab = static_cast<std::int64_t>(values.size());
  logits.values = std::move(values);
  return logits;
}

double apart(std::vector<float> a, std::vector<float> b) {
  return largest_distance(logits_of(std::move(a)), logits_of(std::move(b)));
}

TEST(LargestDistance, OfFiniteLogitsAndMaskedTokens) {
  EXPECT_EQ(apart({1, 2, 3}, {1, 4, 2}), 2);
  EXPECT_EQ(apart({1, -kInfinity}, {1, -kInfinity}), 0);
  EXPECT_EQ(apart({1, -kInfinity}, {1, 7}), kInfinity);
}

TEST(LargestDistance, CannotBeToldFromLogitsThatAreNotFinite) {
  EXPECT_TRUE(std::isnan(apart({1, kNan}, {1, kNan})));
  EXPECT_TRUE(std::isnan(apart({1, kInfinity}, {1, kInfinity}))) << "equal, and yet nothing is known";
  EXPECT_TRUE(std::isnan(apart({1, kInfinity}, {2, 3})));
  EXPECT_TRUE(std::isnan(apart({-kInfinity, -kInfinity}, {-kInfinity, -kInfinity})));
}

TEST(Used, IsUnknownWhereLogitsAreNotFinite) {
  const double same = apart({kInfinity, -kInfinity}, {kInfinity, -kInfinity});
  const Finding finding = used_finding({{.past = 2, .without_it = same, .with_another = same}}, 0);
  EXPECT_EQ(finding.shown, Answer::unknown);
  EXPECT_THAT(finding.sentence, HasSubstr("cannot be told"));
}

}  // namespace
}  // namespace pkv::check
