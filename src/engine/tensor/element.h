// One element of a tensor's memory, or a run of them, wherever it lies: memory of a file need not be aligned. Elements
// of a floating-point dtype (is_float: fp32, fp16, bf16) are read as fp32, exactly, and written rounded to nearest,
// ties to even. Scalar, for memory of the host; kernels have their own vector conversions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "engine/tensor/dtype.h"
#include "engine/tensor/half.h"

namespace pkv {

// Element `i` of memory that holds elements of type T.
template <class T>
T load_element(const void* memory, std::int64_t i) {
  T x;
  std::memcpy(&x, static_cast<const std::byte*>(memory) + static_cast<std::size_t>(i) * sizeof x, sizeof x);
  return x;
}
template <class T>
void store_element(void* memory, std::int64_t i, T x) {
  std::memcpy(static_cast<std::byte*>(memory) + static_cast<std::size_t>(i) * sizeof x, &x, sizeof x);
}

// Element `i` of memory of a floating-point dtype.
inline float load_element(const void* memory, DType dtype, std::int64_t i) {
  if (dtype == DType::f16) return to_float(load_element<f16>(memory, i));
  if (dtype == DType::bf16) return to_float(load_element<bf16>(memory, i));
  return load_element<float>(memory, i);
}
inline void store_element(void* memory, DType dtype, std::int64_t i, float x) {
  if (dtype == DType::f16) return store_element(memory, i, to_f16(x));
  if (dtype == DType::bf16) return store_element(memory, i, to_bf16(x));
  store_element(memory, i, x);
}

// to[i] = element first + i of memory of a floating-point dtype.
void load_elements(const void* memory, DType dtype, std::int64_t first, std::span<float> to);
// Element i of memory of a floating-point dtype = from[i].
void store_elements(void* memory, DType dtype, std::span<const float> from);

// x as an element of a floating-point dtype holds it.
constexpr float rounded(float x, DType dtype) {
  if (dtype == DType::f16) return to_float(to_f16(x));
  if (dtype == DType::bf16) return to_float(to_bf16(x));
  return x;
}

}  // namespace pkv
