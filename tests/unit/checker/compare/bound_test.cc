// The bound against the runs of the article: what was rounding must be within, what was a fault must be far outside.
#include "checker/compare/bound.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pkv::check {
namespace {

struct PublishedRun {
  const char* name;
  const char* format;
  std::int64_t layers, width;
  double largest_logit, max_abs;
  bool rounding;
};

void PrintTo(const PublishedRun& r, std::ostream* os) { *os << r.name; }

class Article : public testing::TestWithParam<PublishedRun> {};

TEST_P(Article, IsJudgedRightly) {
  const PublishedRun& r = GetParam();
  const Description d{.format = r.format, .layers = r.layers, .width = r.width};
  const Bound bound = rounding_bound(d, r.largest_logit);
  EXPECT_EQ(r.max_abs <= bound.value, r.rounding) << bound.reason;
  const double margin = r.rounding ? bound.value / r.max_abs : r.max_abs / bound.value;
  EXPECT_GT(margin, 5) << bound.reason;
}

// Sizes are those of the published configs; the quantised ones kept their values in fp16.
INSTANTIATE_TEST_SUITE_P(
    Runs, Article,
    testing::Values(PublishedRun{"GPT-2 fp32", "fp32", 12, 3072, 137.848907, 0.000053, true},
                    PublishedRun{"GPT-2 fp16", "fp16", 12, 3072, 137.875, 0.125, true},
                    PublishedRun{"RoBERTa", "fp32", 12, 3072, 22.772289, 4.705049, false},
                    PublishedRun{"MPT-7B 4-bit", "fp16", 32, 16384, 57.0625, 19.15625, false},
                    PublishedRun{"MPT-7B 8-bit", "fp16", 32, 16384, 58.03125, 19.765625, false},
                    PublishedRun{"Falcon-7B 4-bit", "fp16", 32, 18176, 26.296875, 17.265625, false},
                    PublishedRun{"Falcon-7B 8-bit", "fp16", 32, 18176, 26.21875, 12.265625, false}));

TEST(Bound, IsTheFormula) {
  const Bound b = rounding_bound({.format = "bf16", .layers = 2, .width = 100}, 10);
  EXPECT_DOUBLE_EQ(b.value, 2 * 10 * std::sqrt(17 * (100 * 0x1p-48 + 0x1p-16)));
}

TEST(Bound, SaysWhatItAssumes) {
  const Bound b = rounding_bound({.format = "fp16"}, 10);
  EXPECT_TRUE(b.assumed_size);
  EXPECT_EQ(b.layers, 32);
  EXPECT_THAT(b.reason, testing::HasSubstr("assumed"));
  EXPECT_THAT(rounding_bound({.layers = 1, .width = 1}, 1).reason, testing::Not(testing::HasSubstr("assumed")));
}

}  // namespace
}  // namespace pkv::check
