#include "checker/compare/columns.h"

#include <gtest/gtest.h>

#include <limits>

namespace pkv::check {
namespace {

// As pandas prints them: six decimals, or the whole column in scientific notation for the sake of one small value.
TEST(Numbers, AsInPandas) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(pandas_column({-120.728113, 0, 1, 2, 3, 4, nan})[0], "-120.728113");
  EXPECT_EQ(pandas_column({-120.728113, 0, 1, 2, 3, 4, nan})[6], "NaN");
  EXPECT_EQ(pandas_column({4.97111e-7, 0, 0, 0, 0, 0, 1})[0], "4.971110e-07");
  EXPECT_EQ(pandas_column({4.97111e-7, 0, 0, 0, 0, 0, 1})[6], "1.000000e+00");
}

}  // namespace
}  // namespace pkv::check
