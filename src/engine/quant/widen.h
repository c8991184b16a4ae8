// Elements of a floating-point tensor that may be unaligned, as fp32. Used inside the room only.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/tensor/half.h"
#include "engine/tensor/view.h"

namespace pkv::quant {

template <class T>
void widen_as(const std::byte* from, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    T x;
    std::memcpy(&x, from + static_cast<std::size_t>(i) * sizeof x, sizeof x);
    out[i] = to_float(x);
  }
}

// out[i] = element first + i of the dense tensor `from`, for i in [0, count).
inline void widen(const View& from, std::int64_t first, std::int64_t count, float* out) {
  const std::byte* p = from.as<const std::byte>() + static_cast<std::size_t>(first) * size_of(from.dtype);
  if (from.dtype == DType::f16) return widen_as<f16>(p, count, out);
  if (from.dtype == DType::bf16) return widen_as<bf16>(p, count, out);
  widen_as<float>(p, count, out);
}

inline float rounded(float x, DType dtype) {
  if (dtype == DType::f16) return to_float(to_f16(x));
  if (dtype == DType::bf16) return to_float(to_bf16(x));
  return x;
}

}  // namespace pkv::quant
