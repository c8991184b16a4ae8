// Distances against numpy: the number's bits as an integer, negated below zero, subtracted; numpy 2.4.
#include "checker/compare/precision.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace pkv::check {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(Ulps, OfFp32) {
  const Precision& p = precision_of("fp32");
  EXPECT_EQ(ulps_between(1.0f, 1.5f, p), 4194304);
  EXPECT_EQ(ulps_between(0.1f, 0.2f, p), 8388608);
  EXPECT_EQ(ulps_between(-137.875f, -137.75f, p), 8192);
  EXPECT_EQ(ulps_between(65504.0f, infinity, p), 939532288);
  EXPECT_EQ(ulps_between(1.0f, std::nextafter(1.0f, 2.0f), p), 1);
  EXPECT_EQ(ulps_between(1.0f, std::nextafter(1.0f, 0.0f), p), 1);
}

TEST(Ulps, CountThroughZero) {
  EXPECT_EQ(ulps_between(-0.0f, 0.0f, precision_of("fp32")), 0);
  EXPECT_EQ(ulps_between(-1.0f, 1.0f, precision_of("fp32")), 2130706432);
  EXPECT_EQ(ulps_between(1e-5f, -1e-5f, precision_of("fp32")), 1850706776);
  EXPECT_EQ(ulps_between(1e-5f, -1e-5f, precision_of("fp16")), 336);
  const float least = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(ulps_between(-least, least, precision_of("fp32")), 2);
}

TEST(Ulps, OfFp16) {
  const Precision& p = precision_of("fp16");
  EXPECT_EQ(ulps_between(1.0f, 1.5f, p), 512);
  EXPECT_EQ(ulps_between(137.875f, 138.0f, p), 1);
  EXPECT_EQ(ulps_between(65504.0f, infinity, p), 1);
  EXPECT_EQ(ulps_between(6e-8f, -6e-8f, p), 2);  // the least subnormal is 5.96e-8
  EXPECT_EQ(ulps_between(1.9990234375f, 2.001953125f, p), 2);
}

TEST(Ulps, OfBf16) {
  const Precision& p = precision_of("bf16");
  EXPECT_EQ(ulps_between(1.0f, 1.0078125f, p), 1);  // 1 + 2^-7
  EXPECT_EQ(ulps_between(256.0f, 260.0f, p), 2);
  EXPECT_EQ(ulps_between(-infinity, infinity, p), 2 * 0x7f80);
}

TEST(Precision, IsNamedInSeveralDialects) {
  EXPECT_EQ(precision_of("float16").name, "fp16");
  EXPECT_EQ(precision_of("bfloat16").unit_roundoff(), 0x1p-8);
  EXPECT_EQ(precision_of("fp32").unit_roundoff(), 0x1p-24);
  EXPECT_THROW(precision_of("fp8"), Error);
}

TEST(Precision, OfADescription) {
  EXPECT_EQ(values_precision({.format = "bf16"}).name, "bf16");
  EXPECT_EQ(values_precision({.format = "nf4"}).name, "fp32");
  EXPECT_EQ(values_precision({.format = "nf4", .values_format = "fp16"}).name, "fp16");
  EXPECT_EQ(logits_precision({.format = "fp16"}).name, "fp16");
  EXPECT_EQ(logits_precision({.format = "fp16", .logits_format = "fp32"}).name, "fp32");
}

}  // namespace
}  // namespace pkv::check
