// What a model is, in numbers: read from its config by its page, shown by `pkv inspect`, used by the engine for sizes.
#pragma once

#include <cstdint>
#include <string>

#include "engine/tensor/dtype.h"

namespace pkv::model {

struct Card {
  std::string family;      // "GPT-2"
  std::string model_type;  // as in config.json
  std::int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, inner = 0, vocab = 0;

  // Tokens that the config allows. A model with a table of positions cannot take more (`context_is_hard`); one with
  // ALiBi or rotary positions can, but was not trained to.
  std::int64_t context = 0;
  bool context_is_hard = true;

  bool causal = true;
  std::string positions;  // "learned", "ALiBi", "rotary, theta 10000"
  std::string notes;      // what sets this configuration apart: "multi-query, parallel attention"
  bool tied = true;       // the output layer is the embedding
};

}  // namespace pkv::model
