// The architectures of GGUF files that pkv runs, and how their files differ from the folders of the same models. Names
// of tensors follow from the model's own names (arch/decoder.h), which each part of a GGUF name stands for one of.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/model/arch/decoder.h"

namespace pkv::model {

struct GgufFamily {
  std::string_view architecture;  // general.architecture: "command-r"
  std::string_view model_type;    // as in config.json: "cohere"
  bool permuted = false;          // rows of queries and keys are ordered by the pairs that turn together;
  bool permuted_biases = true;    // and so are their biases
  std::int64_t full_each = 0;   // a layer in so many has no window where the file does not say which; 0: see model_type
  std::string_view windowed{};  // the model_type in place of the other, where there is a window
  const arch::TensorNames* names = nullptr;  // of those that are no row of the decoder's

  const arch::Row* row() const;  // null for those
  const arch::TensorNames& tensor_names() const { return names != nullptr ? *names : row()->names; }
};

std::span<const GgufFamily> gguf_families();

}  // namespace pkv::model
