// Double quantisation of scales.
#include <algorithm>
#include <cmath>

#include "engine/quant/quant.h"

namespace pkv::quant {
namespace {

// i of `parts` + 1 points from 0.1 to 1, in the steps of fp32 that torch.linspace takes.
float point(int i, int parts) {
  const float step = (1.0f - 0.1f) / static_cast<float>(parts);
  return i < (parts + 1) / 2 ? std::fma(step, static_cast<float>(i), 0.1f)
                             : std::fma(-step, static_cast<float>(parts - i), 1.0f);
}

// For i in 0..6: the midpoints of 2^i equal parts of [0.1, 1], times 10^(i-6), with both signs; zero; one.
std::array<float, 256> make_map() {
  std::array<float, 256> map{};
  std::size_t n = 0;
  for (int i = 0; i < 7; ++i) {
    const int parts = 1 << i;
    for (int j = 0; j < parts; ++j) {
      const float middle = (point(j, parts) + point(j + 1, parts)) / 2;
      const float value = static_cast<float>(std::pow(10.0, i - 6)) * middle;
      map[n++] = value;
      map[n++] = -value;
    }
  }
  map[n++] = 0;
  map[n++] = 1;
  std::sort(map.begin(), map.end());
  return map;
}

// The nearest entry; of two as near the lower one.
std::uint8_t nearest(const std::array<float, 256>& map, float x) {
  const auto above = std::lower_bound(map.begin(), map.end(), x);
  if (above == map.begin()) return 0;
  if (above == map.end()) return 255;
  const bool up = *above - x < x - above[-1];
  return static_cast<std::uint8_t>(above - map.begin() - (up ? 0 : 1));
}

}  // namespace

const std::array<float, 256>& dynamic_map() {
  static const std::array<float, 256> map = make_map();
  return map;
}

NestedScales encode_scales(std::span<const float> scales) {
  NestedScales n;
  double sum = 0;
  for (const float s : scales) sum += s;
  n.offset = scales.empty() ? 0 : static_cast<float>(sum / static_cast<double>(scales.size()));
  n.codes.resize(scales.size());
  constexpr auto kBlock = static_cast<std::size_t>(NestedScales::kBlock);
  for (std::size_t first = 0; first < scales.size(); first += kBlock) {
    const std::size_t end = std::min(first + kBlock, scales.size());
    float most = 0;
    for (std::size_t i = first; i < end; ++i) most = std::max(most, std::fabs(scales[i] - n.offset));
    n.scales.push_back(most);
    // Equal scales leave nothing to divide by: code 0, times nothing.
    for (std::size_t i = first; i < end; ++i) {
      n.codes[i] = most > 0 ? nearest(dynamic_map(), (scales[i] - n.offset) * (1 / most)) : std::uint8_t{0};
    }
  }
  return n;
}

void decode_scales(std::span<const std::uint8_t> codes, std::span<const float> scales, std::span<const float> map,
                   std::int64_t block, float offset, std::span<float> out) {
  for (std::size_t i = 0; i < codes.size(); ++i) {
    out[i] = map[codes[i]] * scales[i / static_cast<std::size_t>(block)] + offset;
  }
}

}  // namespace pkv::quant
