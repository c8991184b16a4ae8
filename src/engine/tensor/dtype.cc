#include "engine/tensor/dtype.h"

#include <array>

namespace pkv {
namespace {

struct Row {
  std::string_view name, safetensors, torch;
};

constexpr std::array<Row, 13> kRows{{{"bool", "BOOL", "bool"},
                                     {"uint8", "U8", "uint8"},
                                     {"int8", "I8", "int8"},
                                     {"uint16", "U16", "uint16"},
                                     {"int16", "I16", "int16"},
                                     {"fp16", "F16", "float16"},
                                     {"bf16", "BF16", "bfloat16"},
                                     {"uint32", "U32", "uint32"},
                                     {"int32", "I32", "int32"},
                                     {"fp32", "F32", "float32"},
                                     {"uint64", "U64", "uint64"},
                                     {"int64", "I64", "int64"},
                                     {"fp64", "F64", "float64"}}};

const Row& row(DType dtype) { return kRows[static_cast<std::size_t>(dtype)]; }

std::optional<DType> find(std::string_view Row::*column, std::string_view name) {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].*column == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string_view name_of(DType dtype) { return row(dtype).name; }
std::string_view safetensors_name(DType dtype) { return row(dtype).safetensors; }
std::string_view torch_name(DType dtype) { return row(dtype).torch; }

std::optional<DType> from_name(std::string_view name) { return find(&Row::name, name); }
std::optional<DType> from_safetensors_name(std::string_view name) { return find(&Row::safetensors, name); }
std::optional<DType> from_torch_name(std::string_view name) { return find(&Row::torch, name); }

}  // namespace pkv
