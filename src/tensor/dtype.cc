#include "tensor/dtype.h"

#include <array>

namespace pkv {
namespace {

struct Row {
  std::size_t size;
  std::string_view name, safetensors;
};

constexpr std::array<Row, 13> kRows{{{1, "bool", "BOOL"},
                                     {1, "uint8", "U8"},
                                     {1, "int8", "I8"},
                                     {2, "uint16", "U16"},
                                     {2, "int16", "I16"},
                                     {2, "fp16", "F16"},
                                     {2, "bf16", "BF16"},
                                     {4, "uint32", "U32"},
                                     {4, "int32", "I32"},
                                     {4, "fp32", "F32"},
                                     {8, "uint64", "U64"},
                                     {8, "int64", "I64"},
                                     {8, "fp64", "F64"}}};

const Row& row(DType dtype) { return kRows[static_cast<std::size_t>(dtype)]; }

}  // namespace

std::size_t size_of(DType dtype) { return row(dtype).size; }
std::string_view name_of(DType dtype) { return row(dtype).name; }
std::string_view safetensors_name(DType dtype) { return row(dtype).safetensors; }

std::optional<DType> from_safetensors_name(std::string_view name) {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].safetensors == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

}  // namespace pkv
