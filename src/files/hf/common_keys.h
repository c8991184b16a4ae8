// The keys that any transformers config may carry, whatever its architecture: metadata, training and generation
// settings, and the few that could change the logits and must have a value that does not. A page deals with its own
// keys only.
#pragma once

#include <span>
#include <string_view>

#include "files/hf/config.h"

namespace pkv::hf {

enum class Accept {
  any,          // no effect on the logits of a causal language model, whatever it says
  only_false,   // absent, null or false
  only_true,    // absent, null or true
  only_empty,   // absent, null, {} or []
  only_absent,  // absent or null
};

struct CommonKey {
  std::string_view key, what;
  Accept accept = Accept::any;
};
std::span<const CommonKey> common_keys();

// Counts them all as read; load error for one whose value pkv does not support. Left to others: model_type, vocab_size,
// tie_word_embeddings, is_decoder, the token ids (bos, eos, pad) and quantization_config.
void accept_common_keys(const Config& config);

}  // namespace pkv::hf
