#include "engine/tensor/element.h"

namespace pkv {
namespace {

template <class T>
void load_all(const void* memory, std::int64_t first, std::span<float> to) {
  for (float& x : to) x = to_float(load_element<T>(memory, first++));
}

template <class Round>
void store_all(void* memory, std::span<const float> from, Round round) {
  std::int64_t i = 0;
  for (const float x : from) store_element(memory, i++, round(x));
}

}  // namespace

void load_elements(const void* memory, DType dtype, std::int64_t first, std::span<float> to) {
  if (dtype == DType::f16) return load_all<f16>(memory, first, to);
  if (dtype == DType::bf16) return load_all<bf16>(memory, first, to);
  load_all<float>(memory, first, to);
}

void store_elements(void* memory, DType dtype, std::span<const float> from) {
  if (dtype == DType::f16) return store_all(memory, from, [](float x) { return to_f16(x); });
  if (dtype == DType::bf16) return store_all(memory, from, [](float x) { return to_bf16(x); });
  store_all(memory, from, [](float x) { return x; });
}

}  // namespace pkv
