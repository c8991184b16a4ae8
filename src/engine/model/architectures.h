// The list of architectures: the one place where a page is registered. Tests and tools iterate over it.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/model/model.h"
#include "engine/model/reader.h"

namespace pkv::model {

struct Architecture {
  std::string_view family;                    // "GPT-2"
  std::vector<std::string_view> model_types;  // values of config.json's model_type
  std::unique_ptr<Page> (*load)(Reader&);
  bool encoder = false;  // attends both ways, but for configs with is_decoder
  bool conv1d = false;   // its layers are transformers' Conv1D, stored [in, out]
};

std::span<const Architecture> architectures();

// The one that knows this value of model_type; null when nobody does.
const Architecture* find_architecture(std::string_view model_type);

// Error::load that lists what there is when nobody knows this model_type.
const Architecture& architecture_of(const hf::Config& config);

}  // namespace pkv::model
