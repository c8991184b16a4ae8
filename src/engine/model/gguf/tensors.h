// The tensors of a GGUF file under the names of the model's own folder, and how the rows that converters move are found
// again. All are views of the file.
#pragma once

#include <memory>
#include <vector>

#include "engine/model/arrangement.h"
#include "engine/model/gguf/families.h"
#include "files/gguf/gguf.h"
#include "files/hf/config.h"

namespace pkv::model {

// Readable ones with how they are laid out; null: as the folder has them.
struct GgufTensors {
  std::vector<std::shared_ptr<const Arrangement>> arrangements;  // in the order of `readable`
  std::vector<containers::Tensor> readable;                      // sorted by name
  std::vector<containers::Unreadable> unreadable;                // likewise
};

// `config` as gguf_config made it.
GgufTensors gguf_tensors(const GgufFamily& family, const gguf::Model& model, const Json& config);

}  // namespace pkv::model
