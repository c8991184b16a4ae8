// Numbers as operands of the matrix unit.
#pragma once

// Activations are fp32 and enter as two halves: x 2^a = hi + 2^-11 lo, with one power of two for a row (or for a head
// of a row), chosen from that row's own largest finite magnitude, which becomes [2^14, 2^15). Then
// |x 2^a - hi - 2^-11 lo| <= 2^-22 |hi's unit| <= 2^-23 |x 2^a|, or 2^-36, what the last subnormal half leaves: 2^-50
// of the row's largest. Infinities and NaN are hi, and lo is 0: a product has them where fp32 would have them.
//
// Weights of fp16 are halves as they are. Weights of bf16 become halves w 2^b, with one power of two for an output: its
// largest finite magnitude becomes [2^15, 2^16). Their 8 bits are exact then, but for weights below 2^-32 of the
// largest of their output: those are `lost` in halves and kept apart, in fp32 (packed.h), so no weight is ever rounded.

#include "engine/kernels/law/both.h"

namespace pkv::kernels::law {

constexpr float kLowUnit = 0x1p-11f;  // of the second half

// For the maximum over a row: the bits of |x|, 0 of what is not finite.
PKV_BOTH std::uint32_t finite_magnitude(float x) {
  const std::uint32_t u = bits_of(x) & 0x7fffffffu;
  return u < 0x7f800000u ? u : 0;
}

// a (b) of a row of activations (an output of bf16 weights) whose largest finite magnitude has these bits.
PKV_BOTH std::int32_t row_exponent(std::uint32_t most) {
  const std::int32_t a = 14 + 127 - static_cast<std::int32_t>(most >> 23);
  return most == 0 ? 0 : a > 126 ? 126 : a;
}
PKV_BOTH std::int32_t weight_exponent(std::uint32_t most) {
  const std::int32_t b = 15 + 127 - static_cast<std::int32_t>(most >> 23);
  return most == 0 ? 0 : b > 126 ? 126 : b;
}

struct Halves {
  std::uint16_t hi, lo;
};

// `scaled`: x 2^a.
PKV_BOTH Halves split(float scaled) {
  Halves h{half_of(scaled), 0};
  if ((h.hi & 0x7c00u) != 0x7c00u) h.lo = half_of((scaled - float_of_half(h.hi)) * 2048.f);
  return h;
}
// What two chains of the matrix unit give together.
PKV_BOTH float joined(float hi, float lo) { return fma(lo, kLowUnit, hi); }

// The same for a past of bf16: three pieces, scaled = b[0] + b[1] + b[2] exactly, unless the last is subnormal.
struct Pieces {
  std::uint16_t b[3];
};
PKV_BOTH Pieces split_bf16(float scaled) {
  Pieces p{{bf16_of(scaled), 0, 0}};
  if ((p.b[0] & 0x7f80u) == 0x7f80u) return p;
  const float rest = scaled - float_of_bf16(p.b[0]);
  p.b[1] = bf16_of(rest);
  p.b[2] = bf16_of(rest - float_of_bf16(p.b[1]));
  return p;
}
PKV_BOTH float joined(float first, float second, float third) { return first + (second + third); }

// A bf16 weight as a half; `scale`: 2^b.
struct Weight {
  std::uint16_t half;
  bool lost;  // half is 0, and the weight belongs to the list of those that are kept apart
};
PKV_BOTH Weight weight_of_bf16(std::uint16_t w, float scale) {
  const float scaled = float_of_bf16(w) * scale;
  const std::uint16_t h = half_of(scaled);
  const bool finite = (h & 0x7c00u) != 0x7c00u;
  if (finite && float_of_half(h) != scaled) return {0, true};
  // In 2^-126 steps `scaled` itself may have been rounded; never for what a half can hold.
  if (finite && (h & 0x7fffu) == 0 && (w & 0x7fffu) != 0) return {0, true};
  return {h, false};
}

}  // namespace pkv::kernels::law
