// The types of tensors that a GGUF file may name by ggml's number: what a block of each takes, and what pkv reads it
// as. A type of single values is a block of one.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/quant/quant.h"

namespace pkv::gguf {

struct GgmlType {
  std::uint32_t id;               // ggml's number
  std::string_view name;          // "Q4_K"
  std::uint64_t elements, bytes;  // of a block
  std::string_view instead = {};  // where it cannot be read: what to try
};

// Null for a number that no file of today has: removed types, those that exist only while computing, those of others.
const GgmlType* find_type(std::uint32_t id);

// What pkv computes with; none: it can list such a tensor and not read it.
std::optional<quant::ElementType> readable_as(const GgmlType& type);

}  // namespace pkv::gguf
