// Eight results of the matrix unit at once: law/step.h on vectors, for factors that are finite. To the bit the same, as
// tests/unit/engine/kernels/law_test.cc checks.
//
// Products of halves are exact in fp32 (those of bf16 in fp64), and so is their product with a power of two; then the
// conversion to an integer is the cut.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "engine/kernels/law/step.h"

// Where the processor has fused multiply-adds, code is compiled once more for them: the bits are the same, calls of the
// library's fma are not. `always` is inlined into both.
#define PKV_ALWAYS inline __attribute__((always_inline))
#if defined(__x86_64__) && !defined(__FMA__)
#define PKV_FUSED __attribute__((target("avx2,fma")))
#else
#define PKV_FUSED
#endif

namespace pkv::kernels::cuda_model {

inline bool has_fused() {
#if defined(__x86_64__) && !defined(__FMA__)
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
#else
  return true;
#endif
}

constexpr int kVector = 8;
constexpr int kSteps = 16;  // inputs of a step
typedef float Floats __attribute__((vector_size(4 * kVector)));
typedef std::int32_t Ints __attribute__((vector_size(4 * kVector)));
typedef std::uint32_t Unsigned __attribute__((vector_size(4 * kVector)));
typedef double Doubles __attribute__((vector_size(8 * kVector)));
typedef std::int64_t Longs __attribute__((vector_size(8 * kVector)));

// The exponent of a factor, as law/step.h has it: `least` for subnormal ones, far below for 0. Not for infinity and
// NaN.
constexpr float kNothing = -10000;
PKV_ALWAYS float exponent_of(float x, float least) {
  const auto field = static_cast<std::int32_t>(law::bits_of(x) >> 23 & 255u);
  const float e = static_cast<float>(field - 127);
  return x == 0 ? kNothing : e < least ? least : e;
}
constexpr float kLeastOfHalf = -14, kLeastOfBf16 = -126;

template <class V, class T>
PKV_ALWAYS void load(V& to, const T* from) {
  std::memcpy(&to, from, sizeof to);
}

template <class V>
PKV_ALWAYS void raise(V& a, const V& least) {
  a = a > least ? a : least;
}

// c[i] = c[i] + sum of x[k] w[k][i], k in [0, 16), w[k] at w + k * stride; exponents lie likewise. float: of fp16;
// double: of bf16.
template <class T>
PKV_ALWAYS void step_of_vector(const T* x, const float* x_exponents, const T* w, const float* w_exponents,
                               std::int64_t stride, Floats& c) {
  constexpr bool kHalf = std::is_same_v<T, float>;
  using V = std::conditional_t<kHalf, Floats, Doubles>;
  Floats most = __builtin_convertvector(((Ints)c >> 23 & 255) - 127, Floats);
  raise(most, Floats{} - 126.f);
  for (int k = 0; k < kSteps; ++k) {
    Floats e;
    load(e, w_exponents + k * stride);
    e += x_exponents[k];
    raise(most, e);
  }
  const Ints m = __builtin_convertvector(most, Ints);
  V scale, before;
  if constexpr (kHalf) {
    Ints over = m + 102;  // 254 less the field of 2^(25 - m), which is too large only where all is 0
    raise(over, Ints{});
    scale = (V)((254 - over) << 23);
    before = c;
  } else {
    scale = (V)((1048 - __builtin_convertvector(m, Longs)) << 52);
    before = __builtin_convertvector(c, V);
  }
  // Two sums, each below 2^31: of 8 products below 4 * 2^25 and of what was before, below 2 * 2^25. Unsigned, since
  // lanes that nobody reads may hold anything.
  Unsigned sums[2] = {(Unsigned) __builtin_convertvector(before * scale, Ints), Unsigned{}};
  for (int k = 0; k < kSteps; ++k) {
    V p;
    load(p, w + k * stride);
    sums[k / 8] += (Unsigned) __builtin_convertvector(p * x[k] * scale, Ints);
  }
  const Doubles sum = __builtin_convertvector((Ints)sums[0], Doubles) + __builtin_convertvector((Ints)sums[1], Doubles);
  if constexpr (kHalf) {
    const Doubles cut = (Doubles)((Longs)sum & ~std::int64_t{0x1fffffff});
    Ints field = m + 102;  // of 2^(m - 25)
    raise(field, Ints{} + 1);
    c = __builtin_convertvector(cut, Floats) * (Floats)(field << 23);
  } else {
    for (int i = 0; i < kVector; ++i) {
      const float was = c[i];  // infinite, where finite factors have overflowed before
      c[i] = was - was == 0 ? law::cut_to_float(static_cast<std::int64_t>(sum[i]), m[i]) : was;
    }
  }
}

}  // namespace pkv::kernels::cuda_model
