// What a model is, in numbers: read from its config by its page, shown by `pkv inspect`, used by the engine for sizes.
// Everything that others decide by is data here; texts are only shown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/state_shape.h"
#include "engine/tensor/dtype.h"

namespace pkv::model {

// How a model knows where a token stands: not at all, by a table of vectors, by turning queries and keys, or by a bias
// on attention that grows with the distance.
enum class Positions : std::uint8_t { none, learned, rotary, alibi };

// What the libraries of June 2023 did with a family's past (docs/causes.md): they used it, returned none, or fed with a
// past counted positions from 0 again and aligned the mask to the top left.
enum class PastIn2023 : std::uint8_t { used, absent, misread };

// Queries grow with their position: by 1 + beta * ln(1 + floor(position / step)).
struct Temperature {
  double beta = 0;
  std::int64_t step = 1;
};

// What a layer keeps of a text's tokens.
struct Keeps {
  bool keys = true;    // and values, of every token
  StateShape state{};  // of all together
};

struct Card {
  std::string family;      // "GPT-2"
  std::string model_type;  // as in config.json
  std::int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, inner = 0, vocab = 0;

  // Tokens that the config allows. A model with a table of positions cannot take more (`context_is_hard`); one with
  // ALiBi or rotary positions can, but was not trained to.
  std::int64_t context = 0;
  bool context_is_hard = true;
  std::int64_t longest_context = 0;  // that loading can be told to prepare for, if longer than `context`
  std::string regime{};              // what that would change of every token's bits: "longrope for longer texts"

  // Positions are counted from this id + 1 on, and tokens of this id are not counted: each has its id as position.
  // None: all tokens are counted, from 0 on.
  std::optional<std::int32_t> padding;

  bool causal = true;
  Positions positions = Positions::none;
  double rotary_theta = 0;              // base of the angles of rotary positions
  std::vector<std::int64_t> windows{};  // by layer: how many tokens one sees, itself included; 0 (or no list): all
  std::vector<Keeps> keeps{};           // by layer; empty: keys and values in all, and nothing else
  std::optional<Temperature> temperature{};
  std::vector<int> turns{};  // by layer, which of the page's rotations; -1: none. Empty: all layers by one
  std::int64_t short_texts =
      0;                      // with a regime: up to so many tokens other systems place as in short texts; 0: no regime
  bool head_norms = false;    // queries and keys are normalised
  bool caps_scores = false;   // scores are limited softly
  bool limits_steps = false;  // of a recurrence
  bool sinks = false;         // every row sees one more score
  std::int64_t experts = 0;   // that a router chooses from; 0: no mixtures
  std::int64_t first_position = 0;  // row of a learned table that a text's first token gets
  bool final_norm = true;           // there is a norm between the last layer and the output layer
  PastIn2023 past_in_2023 = PastIn2023::used;
  std::string notes;  // what sets this configuration apart: "multi-query, parallel attention"
  bool tied = true;   // the output layer is the embedding

  bool keeps_keys(std::int64_t layer) const { return keeps.empty() || keeps[static_cast<std::size_t>(layer)].keys; }
  std::int64_t layers_with_keys() const;
  std::vector<StateShape> states() const;  // of the layers that keep one, in their order
  std::size_t state_bytes() const;         // of all of them, once for each text
};

// "learned", "learned, from the padding index", "rotary, theta 10000", "ALiBi", "none".
std::string positions_text(const Card& card);

}  // namespace pkv::model
