// Against pandas 3.0 (DataFrame.describe() of float64 columns, index "count" dropped), numbers printed with repr().
#include "checker/compare/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace pkv::check {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void expect_summary(const Summary& got, const std::array<double, 7>& want) {
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double value = got.values()[i];
    if (std::isnan(want[i])) {
      EXPECT_TRUE(std::isnan(value)) << Summary::names[i] << " is " << value;
    } else {
      EXPECT_DOUBLE_EQ(value, want[i]) << Summary::names[i];
    }
  }
}

TEST(Describe, IsThatOfPandas) {
  expect_summary(describe(std::vector<double>{3, 1, 2, 10, -7}), {1.8, 6.058052492344384, -7, 1, 2, 3, 10});
  expect_summary(describe(std::vector<double>{1, 2}), {1.5, 0.7071067811865476, 1, 1.25, 1.5, 1.75, 2});
}

TEST(Describe, OneValueHasNoDeviation) { expect_summary(describe(std::vector<double>{4}), {4, nan, 4, 4, 4, 4, 4}); }

TEST(Describe, NothingIsNotANumber) {
  expect_summary(describe({}), {nan, nan, nan, nan, nan, nan, nan});
  expect_summary(describe(std::vector<double>{1, nan}), {nan, nan, nan, nan, nan, nan, nan});
}

TEST(Describe, DoesNotLoseSmallDeviationsOfLargeValues) {
  expect_summary(describe(std::vector<double>{1e9, 1e9 + 1, 1e9 + 2}),
                 {1e9 + 1, 1, 1e9, 1e9 + 0.5, 1e9 + 1, 1e9 + 1.5, 1e9 + 2});
}

// df["abs"] = (df.a - df.b).abs(); d = df.describe(); d["rel"] = d["abs"] / d["a"].abs()
TEST(ArticleTable, IsThatOfPandas) {
  const std::vector<float> a{1.5f, -2.25f, 0.125f, 7, 3.5f, -0.5f, 2, 2};
  const std::vector<float> b{1.25f, -2.5f, 0.25f, 6, 3.5f, -0.75f, 2.5f, 1};
  const Table t = article_table(a, b);
  expect_summary(t.without_past, {1.671875, 2.7894391877477553, -2.25, -0.03125, 1.75, 2.375, 7});
  expect_summary(t.with_past, {1.40625, 2.621809285316426, -2.5, 0, 1.125, 2.75, 6});
  expect_summary(t.absolute, {0.421875, 0.3834610941337931, 0, 0.21875, 0.25, 0.625, 1});
  expect_summary(t.relative, {0.2523364485981308, 0.13746888471994495, 0, 7, 0.14285714285714285, 0.2631578947368421,
                              0.14285714285714285});
}

// The article's own rows: "max" of relative Δ is max|Δ| / |max logit|, which it prints as 4.971110e-07 and 0.206613.
TEST(ArticleTable, RelativeIsThatOfTheArticle) {
  const Table roberta = article_table(std::vector<float>{22.772289f, 0}, std::vector<float>{22.772289f - 4.705049f, 0});
  EXPECT_NEAR(roberta.relative.max, 0.206613, 1e-6);
}

TEST(ArticleTable, EqualInfinitiesDoNotDiffer) {
  const float masked = -std::numeric_limits<float>::infinity();
  const std::vector<float> row{masked, 1, 2};
  EXPECT_EQ(article_table(row, row).absolute.max, 0);
}

}  // namespace
}  // namespace pkv::check
