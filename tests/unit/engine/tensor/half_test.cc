#include "engine/tensor/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pkv {
namespace {

TEST(Half, EveryF16SurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 h{static_cast<std::uint16_t>(bits)};
    const float x = to_float(h);
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(to_float(to_f16(x))));
    } else {
      ASSERT_EQ(to_f16(x).bits, h.bits) << bits;
    }
  }
}

TEST(Half, EveryBf16SurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const bf16 h{static_cast<std::uint16_t>(bits)};
    const float x = to_float(h);
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(to_float(to_bf16(x))));
    } else {
      ASSERT_EQ(to_bf16(x).bits, h.bits) << bits;
    }
  }
}

// Between two neighbours the nearer one is taken, and the even one at the middle.
TEST(Half, F16RoundsToNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = to_float(f16{static_cast<std::uint16_t>(bits)});
    const float high = to_float(f16{static_cast<std::uint16_t>(bits + 1)});
    const float middle = low + (high - low) / 2;
    const std::uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(to_f16(middle).bits, even) << bits;
    ASSERT_EQ(to_f16(std::nextafter(middle, low)).bits, bits) << bits;
    ASSERT_EQ(to_f16(std::nextafter(middle, high)).bits, bits + 1) << bits;
    ASSERT_EQ(to_f16(-middle).bits, even | 0x8000u) << bits;
  }
}

TEST(Half, F16Edges) {
  EXPECT_EQ(to_f16(65504.f).bits, 0x7bff);
  EXPECT_EQ(to_f16(65519.99f).bits, 0x7bff);
  EXPECT_EQ(to_f16(65520.f).bits, 0x7c00);
  EXPECT_EQ(to_f16(std::numeric_limits<float>::infinity()).bits, 0x7c00);
  EXPECT_EQ(to_f16(0x1.0p-25f).bits, 0x0000);
  EXPECT_EQ(to_f16(0x1.000002p-25f).bits, 0x0001);
  EXPECT_EQ(to_f16(-0.f).bits, 0x8000);
}

TEST(Half, Bf16RoundsToNearestEven) {
  EXPECT_EQ(to_bf16(1.00390625f).bits, 0x3f80);  // 1 + 2^-8: the middle, down to even
  EXPECT_EQ(to_bf16(1.01171875f).bits, 0x3f82);  // 1 + 3*2^-8: the middle, up to even
  EXPECT_EQ(to_bf16(1.003907f).bits, 0x3f81);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
}

}  // namespace
}  // namespace pkv
