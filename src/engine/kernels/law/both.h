// The law of the CUDA table: what it computes, to the bit, written once for the device's kernels and for the host table
// `cuda-model`. Plain C++17, no allocation, no library functions but those that IEEE 754 defines to the last bit (fma,
// sqrt, division). A multiply-add is fused where `fma` is written and nowhere else: -ffp-contract=off, -fmad=false.
//
// This header: the macro that marks functions of both sides, and the bits of numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define PKV_BOTH __host__ __device__ inline
#elif defined(__GNUC__)
#define PKV_BOTH inline __attribute__((always_inline))  // into what is compiled for processors with fma, too
#else
#define PKV_BOTH inline
#endif

namespace pkv::kernels::law {

PKV_BOTH std::uint32_t bits_of(float x) {
  std::uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}
PKV_BOTH float float_of(std::uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}
PKV_BOTH std::uint64_t bits_of(double x) {
  std::uint64_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}
PKV_BOTH double double_of(std::uint64_t u) {
  double x;
  memcpy(&x, &u, sizeof x);
  return x;
}

PKV_BOTH float fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return ::fmaf(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}
PKV_BOTH double fma(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
  return ::fma(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
}

PKV_BOTH float magnitude(float x) { return float_of(bits_of(x) & 0x7fffffffu); }
PKV_BOTH bool is_nan(float x) { return (bits_of(x) & 0x7fffffffu) > 0x7f800000u; }
PKV_BOTH float with_sign_of(float magnitude, float sign) {
  return float_of((bits_of(magnitude) & 0x7fffffffu) | (bits_of(sign) & 0x80000000u));
}
// The larger; `a` where `b` is not a number.
PKV_BOTH float larger(float a, float b) { return b > a ? b : a; }
PKV_BOTH float smaller(float a, float b) { return b < a ? b : a; }

// 2^k, k in [-126, 127]; of doubles, k in [-1022, 1023].
PKV_BOTH float power_of_two(std::int32_t k) { return float_of(static_cast<std::uint32_t>(k + 127) << 23); }
PKV_BOTH double double_power_of_two(std::int32_t k) { return double_of(static_cast<std::uint64_t>(k + 1023) << 52); }

// The nearest whole number, ties to even, for |x| < 2^22, as a number and in the low bits of the sum.
constexpr float kRounder = 0x1.8p23f;
PKV_BOTH float rounded_to_whole(float x) { return (x + kRounder) - kRounder; }

// 16-bit formats: as engine/tensor/half.h has them, on both sides.
PKV_BOTH float float_of_half(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16, rest = h & 0x7fffu;
  if (rest >= 0x7c00u) return float_of(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x0400u) return float_of(sign | ((rest << 13) + 0x38000000u));
  return float_of(sign | bits_of(static_cast<float>(rest) * 0x1.0p-24f));
}
PKV_BOTH float float_of_bf16(std::uint16_t h) { return float_of(static_cast<std::uint32_t>(h) << 16); }

PKV_BOTH std::uint16_t half_of(float x) {
  const std::uint32_t u = bits_of(x), a = u & 0x7fffffffu;
  const std::uint32_t sign = (u >> 16) & 0x8000u;
  if (a > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u | ((a >> 13) & 0x3ffu));
#if defined(__CUDA_ARCH__)
  std::uint16_t h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
#else
  if (a >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // 65520 and above round to infinity
  if (a < 0x38800000u) {  // below 2^-14: adding 0.5 makes the float unit round to multiples of 2^-24
    return static_cast<std::uint16_t>(sign | (bits_of(float_of(a) + 0.5f) - 0x3f000000u));
  }
  return static_cast<std::uint16_t>(sign | ((a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u) >> 13));
#endif
}
PKV_BOTH std::uint16_t bf16_of(float x) {
  const std::uint32_t u = bits_of(x);
  if (is_nan(x)) return static_cast<std::uint16_t>((u >> 16) | 0x40u);
  return static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

}  // namespace pkv::kernels::law
