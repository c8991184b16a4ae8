// The element types of tensors, with the names that safetensors and Hugging Face use. No arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pkv {

enum class DType : std::uint8_t { boolean, u8, i8, u16, i16, f16, bf16, u32, i32, f32, u64, i64, f64 };

// Bytes of one element.
std::size_t size_of(DType dtype);

// "fp32", "fp16", "bf16", "int8", ...: what a user reads and types.
std::string_view name_of(DType dtype);

// "F32", "BF16", "BOOL", ...: the name in a safetensors header.
std::string_view safetensors_name(DType dtype);
std::optional<DType> from_safetensors_name(std::string_view name);

}  // namespace pkv
