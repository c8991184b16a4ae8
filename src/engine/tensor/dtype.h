// The element types of tensors, with the names that safetensors and Hugging Face use. No arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pkv {

enum class DType : std::uint8_t { boolean, u8, i8, u16, i16, f16, bf16, u32, i32, f32, u64, i64, f64 };

// Bytes of one element.
constexpr std::size_t size_of(DType dtype) {
  constexpr std::uint8_t sizes[]{1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 8, 8, 8};
  return sizes[static_cast<std::size_t>(dtype)];
}

// "fp32", "fp16", "bf16", "int8", ...: what a user reads and types.
std::string_view name_of(DType dtype);
std::optional<DType> from_name(std::string_view name);

// "F32", "BF16", "BOOL", ...: the name in a safetensors header.
std::string_view safetensors_name(DType dtype);
std::optional<DType> from_safetensors_name(std::string_view name);

// "float32", "bfloat16", "uint8", ...: PyTorch's name, without "torch.".
std::string_view torch_name(DType dtype);
std::optional<DType> from_torch_name(std::string_view name);

// What weights are computed with when they are not quantised.
constexpr bool is_float(DType dtype) { return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16; }

}  // namespace pkv
