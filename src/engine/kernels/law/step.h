// The matrix unit of Hopper (sm_90), of fp16 and bf16 operands with fp32 sums: one step of 16 inputs, a function of 16
// products and of what was summed before, the same for mma.sync m16n8k16 and for wgmma of every width, with operands
// swapped and inputs permuted within a step (measured; Xie et al. 2025, arXiv:2511.10909; Khattak and Mikaitis 2025,
// arXiv:2512.07004). Products and sum are aligned to the largest exponent, each cut to 25 bits behind the point, added
// exactly, cut to fp32. The exponent of a product is the sum of its factors' exponents, that of a subnormal factor the
// least normal one; what is 0 has -126. For the host; the device has the unit itself.
#pragma once

#include "engine/kernels/law/both.h"

namespace pkv::kernels::law {

// A factor as significand * 2^(exponent - fraction bits).
struct Factor {
  std::int64_t significand;  // with its sign; fraction bits: 10 of fp16, 7 of bf16, 23 of fp32
  std::int32_t exponent;
};
inline Factor factor_of_half(std::uint16_t h) {
  const std::int32_t e = (h >> 10) & 31;
  const std::int64_t s = (h & 0x3ff) | (e != 0 ? 0x400 : 0);
  return {(h & 0x8000) != 0 ? -s : s, (e != 0 ? e : 1) - 15};
}
inline Factor factor_of_bf16(std::uint16_t h) {
  const std::int32_t e = (h >> 7) & 255;
  const std::int64_t s = (h & 0x7f) | (e != 0 ? 0x80 : 0);
  return {(h & 0x8000) != 0 ? -s : s, (e != 0 ? e : 1) - 127};
}
inline Factor factor_of_float(float x) {
  const std::uint32_t u = bits_of(x);
  const auto e = static_cast<std::int32_t>((u >> 23) & 255);
  const std::int64_t s = (u & 0x7fffff) | (e != 0 ? 0x800000 : 0);
  return {(u >> 31) != 0 ? -s : s, (e != 0 ? e : 1) - 127};
}

constexpr std::int32_t kCutBits = 25, kExponentOfZero = -126;
constexpr std::uint32_t kNotANumber = 0x7fffffffu;  // the one that the unit gives

// sum * 2^(exponent - kCutBits), cut to fp32.
inline float cut_to_float(std::int64_t sum, std::int32_t exponent) {
  if (sum == 0) return 0.f;
  const bool negative = sum < 0;
  std::uint64_t m = static_cast<std::uint64_t>(negative ? -sum : sum);
  std::int32_t e = exponent - kCutBits;  // of the last bit
  const std::int32_t length = 64 - __builtin_clzll(m);
  // What stays: 24 bits, fewer where the last would lie below 2^-149.
  std::int32_t drop = length - 24;
  if (e + drop < -149) drop = -149 - e;
  if (drop >= 64) return negative ? -0.f : 0.f;
  if (drop > 0) m >>= drop, e += drop;
  const double x = static_cast<double>(m) * double_power_of_two(e);  // exact
  const float y = x >= 0x1p128 ? float_of(0x7f800000u) : static_cast<float>(x);
  return negative ? -y : y;
}

template <class ToFactor, class ToFloat>
inline float step(const std::uint16_t* a, const std::uint16_t* b, float c, std::int32_t fraction, ToFactor factor_of,
                  ToFloat to_float) {
  // What is not finite decides by itself: in plain arithmetic no product overflows first.
  double plain = static_cast<double>(c);
  for (int k = 0; k < 16; ++k) plain += static_cast<double>(to_float(a[k])) * static_cast<double>(to_float(b[k]));
  if (!(plain - plain == 0)) return plain == plain ? static_cast<float>(plain) : float_of(kNotANumber);
  std::int64_t significands[17];
  std::int32_t exponents[17], most = -1000;
  for (int k = 0; k < 17; ++k) {
    if (k == 16) {
      const Factor of_c = factor_of_float(c);
      significands[k] = of_c.significand, exponents[k] = of_c.exponent;
    } else {
      const Factor x = factor_of(a[k]), y = factor_of(b[k]);
      significands[k] = x.significand * y.significand, exponents[k] = x.exponent + y.exponent;
    }
    if (significands[k] == 0) exponents[k] = kExponentOfZero;
    most = exponents[k] > most ? exponents[k] : most;
  }
  std::int64_t sum = 0;
  for (int k = 0; k < 17; ++k) {
    const std::int32_t left = kCutBits - (k == 16 ? 23 : fraction) - (most - exponents[k]);
    const std::int64_t s = significands[k] < 0 ? -significands[k] : significands[k];
    const std::int64_t cut = left >= 0 ? s << left : left > -64 ? s >> -left : 0;
    sum += significands[k] < 0 ? -cut : cut;
  }
  return cut_to_float(sum, most);
}

// c + sum of a[k] b[k], k in [0, 16), as the unit does it.
inline float step_of_halves(const std::uint16_t* a, const std::uint16_t* b, float c) {
  return step(a, b, c, 20, factor_of_half, [](std::uint16_t h) { return float_of_half(h); });
}
inline float step_of_bf16(const std::uint16_t* a, const std::uint16_t* b, float c) {
  return step(a, b, c, 14, factor_of_bf16, [](std::uint16_t h) { return float_of_bf16(h); });
}

}  // namespace pkv::kernels::law
