// The config.json that a GGUF file's model would have, of its metadata and the shapes of its tensors.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "engine/model/gguf/families.h"
#include "files/gguf/gguf.h"

namespace pkv::model {

// Error::load, naming file and key, for what is missing, cannot be, or is not implemented. `notes`: what a reader of a
// report should know.
Json gguf_config(const GgufFamily& family, const gguf::Model& model, std::vector<std::string>& notes);

// generation_config.json, likewise; null when the file says nothing of the kind.
Json gguf_generation_config(const gguf::Model& model);

// A number that was stored in fp32, as somebody had written it: 1e-05, not 9.999999747378752e-06. Both are the same
// fp32.
double as_written(double number);

}  // namespace pkv::model
