#include "engine/tensor/element.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <vector>

namespace pkv {
namespace {

using testing::ElementsAre;

constexpr std::array kFloats{DType::f32, DType::f16, DType::bf16};

TEST(Element, IsFloatOfWhatWeightsAreComputedWith) {
  for (int i = 0; i <= static_cast<int>(DType::f64); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(is_float(dtype), dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16) << name_of(dtype);
  }
}

// An odd address is aligned for none of the dtypes.
TEST(Element, MayLieUnaligned) {
  alignas(8) std::array<std::byte, 64> memory{};
  for (const DType dtype : kFloats) {
    store_element(memory.data() + 1, dtype, 3, -1.5f);
    EXPECT_EQ(load_element(memory.data() + 1, dtype, 3), -1.5f) << name_of(dtype);
  }
  store_element<std::int64_t>(memory.data() + 1, 2, -7);
  EXPECT_EQ(load_element<std::int64_t>(memory.data() + 1, 2), -7);
}

TEST(Element, StoresNothingBesideIt) {
  for (const DType dtype : kFloats) {
    std::array<std::byte, 16> memory;
    memory.fill(std::byte{0xee});
    store_element(memory.data(), dtype, 1, 2.f);
    for (std::size_t i = 0; i < memory.size(); ++i) {
      if (i >= size_of(dtype) && i < 2 * size_of(dtype)) continue;
      EXPECT_EQ(memory[i], std::byte{0xee}) << name_of(dtype) << " at byte " << i;
    }
  }
}

TEST(Element, IsRoundedToNearestEvenOnItsWayToMemory) {
  std::array<std::byte, 4> memory{};
  const auto through = [&](DType dtype, float x) {
    store_element(memory.data(), dtype, 0, x);
    EXPECT_EQ(load_element(memory.data(), dtype, 0), rounded(x, dtype)) << name_of(dtype);
    return rounded(x, dtype);
  };
  EXPECT_EQ(through(DType::f32, 0.1f), 0.1f);
  EXPECT_EQ(through(DType::f16, 1 + 0x1.0p-11f), 1);              // the middle of two, down to the even one
  EXPECT_EQ(through(DType::f16, 1 + 0x1.8p-10f), 1 + 0x1.0p-9f);  // the middle of two, up to the even one
  EXPECT_EQ(through(DType::bf16, 1 + 0x1.0p-8f), 1);
  EXPECT_EQ(through(DType::f16, 65520), std::numeric_limits<float>::infinity());
  EXPECT_EQ(through(DType::bf16, 65520), 65536);
}

TEST(Element, RunsAreTheirElements) {
  const std::vector<float> values{0.1f, -2, 65536, 0, 1e-6f};
  for (const DType dtype : kFloats) {
    std::vector<std::byte> memory(values.size() * size_of(dtype) + 1);
    store_elements(memory.data() + 1, dtype, values);
    std::vector<float> all(values.size()), tail(2);
    load_elements(memory.data() + 1, dtype, 0, all);
    load_elements(memory.data() + 1, dtype, 3, tail);
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(all[i], rounded(values[i], dtype)) << name_of(dtype);
    EXPECT_THAT(tail, ElementsAre(all[3], all[4])) << name_of(dtype);
  }
}

}  // namespace
}  // namespace pkv
