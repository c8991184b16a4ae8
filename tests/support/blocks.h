// Random blocks of ggml's formats, with scales of an ordinary size: values up to about 2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "engine/quant/quant.h"
#include "engine/tensor/element.h"

namespace pkv::support {

// Where a block's scales and minima of 16 bits lie (-1: there is no second), and what the largest value is for a scale
// of 1. MXFP4 and NVFP4 have 8 bits.
struct BlockScales {
  quant::Format format;
  std::array<int, 2> at;
  float most;
};
inline const BlockScales& scales_of(quant::Format format) {
  using quant::Format;
  static constexpr BlockScales kAll[] = {
      {Format::q4_0, {0, -1}, 8},          {Format::q4_1, {0, 2}, 15},      {Format::q5_0, {0, -1}, 16},
      {Format::q5_1, {0, 2}, 31},          {Format::q8_0, {0, -1}, 127},    {Format::q2_k, {80, 82}, 45},
      {Format::q3_k, {108, -1}, 32 * 4},   {Format::q4_k, {0, 2}, 63 * 15}, {Format::q5_k, {0, 2}, 63 * 31},
      {Format::q6_k, {208, -1}, 127 * 32}, {Format::iq4_nl, {0, -1}, 127},  {Format::iq4_xs, {0, -1}, 32 * 127},
      {Format::mxfp4, {-1, -1}, 0},        {Format::nvfp4, {-1, -1}, 0},    {Format::tq1_0, {52, -1}, 1},
      {Format::tq2_0, {64, -1}, 1}};
  for (const BlockScales& each : kAll) {
    if (each.format == format) return each;
  }
  std::abort();
}

// Whole blocks of `elements` elements.
inline std::vector<std::byte> random_blocks(quant::Format format, std::int64_t elements, std::uint64_t seed) {
  const BlockScales& scales = scales_of(format);
  const auto size = static_cast<std::size_t>(quant::layout_of(format).bytes);
  std::vector<std::byte> bytes(quant::bytes_of(format, elements));
  std::uint64_t drawn = 0;
  const auto draw = [&] { return random_signed(seed, drawn++); };  // [-1, 1)
  for (std::byte& b : bytes) b = static_cast<std::byte>(static_cast<int>(128 + 127 * draw()));
  for (std::size_t block = 0; block < bytes.size(); block += size) {
    for (const int at : scales.at) {
      if (at >= 0) store_element(bytes.data() + block + at, DType::f16, 0, 2 * draw() / scales.most);
    }
    if (format == quant::Format::mxfp4) bytes[block] = static_cast<std::byte>(static_cast<int>(122 + 4 * draw()));
    for (std::size_t i = 0; format == quant::Format::nvfp4 && i < 4; ++i) {
      bytes[block + i] = static_cast<std::byte>(static_cast<int>(36 + 8 * draw()));
    }
  }
  return bytes;
}

}  // namespace pkv::support
