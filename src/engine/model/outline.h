// Outline: the numbers that a config says, whichever architecture it is of: read by the names that transformers'
// configs give them, without an opinion on the rest. What `pkv inspect` shows of a model that no page runs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/tensor/dtype.h"
#include "files/hf/config.h"

namespace pkv::model {

struct Outline {
  std::string model_type;  // empty where it is not said, as all that follow
  std::optional<std::int64_t> layers, hidden, inner, heads, kv_heads, head_dim, vocab, context, window;
  std::optional<bool> tied;
  std::optional<DType> dtype;
  std::string quantised_by;  // "gptq"

  // What a token's keys and values take, as transformers keeps them; none where the config does not say it.
  struct Past {
    std::int64_t values = 0;    // numbers for each token
    std::int64_t layers = 0;    // that keep any
    std::int64_t windowed = 0;  // of these, that keep the last `window` tokens alone, where the config says which
    std::int64_t unfolded =
        0;  // of multi-head latent attention, of which latents are kept: those of all heads; 0: none
  };
  std::optional<Past> past;
  std::string no_past;  // why there is none: "no attention heads: a state-space model, say"
};

// Of a config that holds several models, its language model.
Outline outline_of(const hf::Config& config);

}  // namespace pkv::model
