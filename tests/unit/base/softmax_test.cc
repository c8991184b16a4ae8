#include "base/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace pkv {
namespace {

using Row = std::vector<float>;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

TEST(Argmax, TheLowestOfEquals) {
  EXPECT_EQ(argmax(Row{1, 3, 3, 2}), 1);
  EXPECT_EQ(argmax(Row{-0.0f, 0.0f}), 0);
  EXPECT_EQ(argmax({}), 0);
  Row row(300, -2.f);  // several steps of sixteen and a rest
  row[299] = 3;
  EXPECT_EQ(argmax(row), 299);
  row[70] = row[200] = 3;
  EXPECT_EQ(argmax(row), 70);
}

TEST(Argmax, ANanNeverWins) {
  EXPECT_EQ(argmax(Row{kNan, 1, kNan}), 1);
  EXPECT_EQ(argmax(Row{kNan, -kInfinity}), 1);
  EXPECT_EQ(argmax(Row{kNan, kNan}), 0);
  Row row(40, kNan);
  row[33] = -5;
  EXPECT_EQ(argmax(row), 33);
}

TEST(LogSoftmax, ProbabilitiesAddUpToOne) {
  Row row;
  for (int i = 0; i < 777; ++i) row.push_back(5 * std::sin(static_cast<float>(i)));
  const LogSoftmax p(row);
  double sum = 0;
  for (const float logit : row) sum += std::exp(p.of(logit));
  EXPECT_NEAR(sum, 1, 777 * 0x1.0p-52) << "a rounding of each term, and of each step of the sum";
}

TEST(LogSoftmax, ATokenThatAloneCanBeIsCertain) {
  Row row(130, -kInfinity);
  row[129] = -7;
  EXPECT_EQ(LogSoftmax(row).of(row[129]), 0);
  EXPECT_EQ(LogSoftmax(row).of(row[0]), -kInfinity);
}

}  // namespace
}  // namespace pkv
