// int8 as LLM.int8() has it: rows of weights, rows of activations, outliers apart.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/quant/encodings.h"
#include "engine/tensor/element.h"

namespace pkv::quant {
namespace {

// Ties to even; 0 of NaN, as CUDA has it.
std::int8_t nearest(float x) { return std::isnan(x) ? std::int8_t{0} : static_cast<std::int8_t>(std::nearbyint(x)); }

float inverse_of(float scale) { return scale > 0 ? 127.0f / scale : 0.0f; }

}  // namespace

void encode_int8(const View& from, const Matrix& to, std::int64_t first, std::int64_t count) {
  std::vector<float> x(static_cast<std::size_t>(to.in));
  for (std::int64_t r = first; r < first + count; ++r) {
    load_elements(from.data, from.dtype, r * to.in, x);
    float most = 0;
    for (float& v : x) most = std::max(most, std::fabs(v = rounded(v, DType::f16)));
    to.scales.as<float>()[r] = most;
    const float inverse = inverse_of(most);
    auto* codes = to.codes.as<std::int8_t>() + r * to.in;
    for (std::size_t i = 0; i < x.size(); ++i) codes[i] = nearest(x[i] * inverse);
  }
}

void decode_int8(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out) {
  const auto* codes = m.codes.as<const std::int8_t>() + row * m.in + first;
  const float scale = scale_at(m.scales.as<const std::byte>(), row);
  constexpr float kInverse = 7.874015718698502e-3f;  // 1 / 127, as bitsandbytes has it
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(codes[i]) * scale * kInverse;
}

Activations encode_activations(std::span<const float> x, float threshold, std::span<const std::uint8_t> among) {
  Activations a;
  a.codes.resize(x.size());
  std::vector<float> rest(x.size());
  bool nan = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float v = rounded(x[i], DType::f16);
    const bool large = threshold > 0 && std::fabs(v) >= threshold;
    rest[i] = large ? 0 : v;
    nan |= !std::isfinite(rest[i]);
    a.scale = std::max(a.scale, std::fabs(rest[i]));
    if (among.empty() ? !large : among[i] == 0) continue;
    a.columns.push_back(static_cast<std::int32_t>(i));
    a.values.push_back(v);
  }
  const float inverse = inverse_of(a.scale);
  for (std::size_t i = 0; i < x.size(); ++i) a.codes[i] = nan ? std::int8_t{0} : nearest(rest[i] * inverse);
  for (const std::int32_t i : a.columns) a.codes[static_cast<std::size_t>(i)] = 0;
  if (nan) a.scale = std::numeric_limits<float>::quiet_NaN();
  return a;
}

}  // namespace pkv::quant
