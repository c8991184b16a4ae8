// fp4 and nf4: codes of 4 bits and a scale for each block. Encoding is what bitsandbytes' CUDA kernels do, step by
// step: the reciprocal first, then a product, then comparisons in which a tie takes the smaller side.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/slices.h"
#include "engine/quant/encodings.h"
#include "engine/tensor/element.h"

namespace pkv::quant {

const std::array<float, 16> kNf4Values{-1.0f,
                                       -0.6961928009986877f,
                                       -0.5250730514526367f,
                                       -0.39491748809814453f,
                                       -0.28444138169288635f,
                                       -0.18477343022823334f,
                                       -0.09105003625154495f,
                                       0.0f,
                                       0.07958029955625534f,
                                       0.16093020141124725f,
                                       0.24611230194568634f,
                                       0.33791524171829224f,
                                       0.44070982933044434f,
                                       0.5626170039176941f,
                                       0.7229568362236023f,
                                       1.0f};

const std::array<float, 16> kFp4Values{
    0.0f,  0.005208333333f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
    -0.0f, -0.005208333333f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};

// What a normalised value must exceed to get the next code up.
const std::array<float, 15> kNf4Steps{
    -0.8480964004993439f,  -0.6106329262256622f,   -0.4599952697753906f, -0.33967943489551544f, -0.23460740596055984f,
    -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f, 0.1202552504837513f,   0.2035212516784668f,
    0.2920137718319893f,   0.3893125355243683f,    0.5016634166240692f,  0.6427869200706482f,   0.8614784181118011f};
const std::array<float, 7> kFp4Steps{0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f,
                                     0.4166667f,  0.583333f,  0.8333333f};

namespace {

// How many steps x exceeds; none for NaN.
template <std::size_t n>
void count_steps(const std::array<float, n>& steps, const float* x, std::int64_t count, std::int32_t* ranks) {
  std::fill(ranks, ranks + count, 0);
  for (const float step : steps) {
    for (std::int64_t i = 0; i < count; ++i) ranks[i] += x[i] > step ? 1 : 0;
  }
}

void nf4_codes(const float* x, std::int64_t count, std::int32_t* codes) { count_steps(kNf4Steps, x, count, codes); }

void fp4_codes(const float* x, std::int64_t count, std::int32_t* codes) {
  std::array<float, kMaxBlock> magnitudes;
  for (std::int64_t i = 0; i < count; ++i) magnitudes[static_cast<std::size_t>(i)] = std::fabs(x[i]);
  count_steps(kFp4Steps, magnitudes.data(), count, codes);
  for (std::int64_t i = 0; i < count; ++i) {
    codes[i] = kFp4Codes[static_cast<std::size_t>(codes[i])] | (x[i] < 0 ? 8 : 0);
  }
}

// GPUs flush subnormal numbers to zero, and so do these kernels.
float flushed(float x) { return std::fabs(x) < std::numeric_limits<float>::min() ? 0.0f : x; }

void encode_block(const View& from, const Matrix& to, std::int64_t block, decltype(nf4_codes)* codes_of) {
  const std::int64_t first = block * to.block, count = std::min(to.block, to.elements() - first);
  std::array<float, kMaxBlock> x;
  load_elements(from.data, from.dtype, first, pkv::take(x, count));
  const std::int64_t even = count + count % 2;
  if (even > count) x[static_cast<std::size_t>(count)] = 0;
  const auto all = pkv::take(x, even);
  float most = 0;
  for (float& v : all) most = std::max(most, std::fabs(v = flushed(v)));
  to.scales.as<float>()[block] = most;
  const float inverse = flushed(1.0f / most);
  for (float& v : all) v = flushed(v * inverse);  // of nothing but zeros: NaN, which exceeds no step
  std::array<std::int32_t, kMaxBlock> codes;
  codes_of(x.data(), even, codes.data());
  auto* out = to.codes.as<std::uint8_t>() + first / 2;
  for (std::int64_t i = 0; i < even / 2; ++i) {
    const auto at = static_cast<std::size_t>(2 * i);
    out[i] = static_cast<std::uint8_t>(codes[at] << 4 | codes[at + 1]);
  }
}

}  // namespace

void encode_nf4(const View& from, const Matrix& to, std::int64_t first, std::int64_t count) {
  for (std::int64_t b = first; b < first + count; ++b) encode_block(from, to, b, nf4_codes);
}

void encode_fp4(const View& from, const Matrix& to, std::int64_t first, std::int64_t count) {
  for (std::int64_t b = first; b < first + count; ++b) encode_block(from, to, b, fp4_codes);
}

void decode_four_bits(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out) {
  const std::span<const float> values = code_values(m.format);
  const auto* codes = m.codes.as<const std::uint8_t>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t at = row * m.in + first + static_cast<std::int64_t>(i);
    const int code = at % 2 == 0 ? codes[at / 2] >> 4 : codes[at / 2] & 15;
    const float scale = scale_at(m.scales.as<const std::byte>(), at / m.block);
    out[i] = rounded(values[static_cast<std::size_t>(code)] * scale, m.decoded);
  }
}

}  // namespace pkv::quant
