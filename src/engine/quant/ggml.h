// The types of tensors in GGUF files, by ggml's numbers: what is called how, and what of it can be read.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/quant/quant.h"

namespace pkv::quant {

struct GgmlType {
  std::uint32_t number;
  std::string_view name;               // "Q4_K", as ggml writes it
  std::optional<ElementType> element;  // none: it cannot be read
  std::string_view instead;            // then: what to try, for a hint; may be empty
};

// Null for a number that ggml has not given, or has taken back.
const GgmlType* ggml_type(std::uint32_t number);

}  // namespace pkv::quant
