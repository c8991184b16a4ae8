// What a token costs, from the model's shapes and formats alone: bytes that a step has to read and multiply-adds. These
// are the numerators of every share of the machine's peak; nothing here measures.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/model/model.h"

namespace pkv::model {

// Tokens that n tokens after `past` others see together, each its last `window` ones, itself included.
inline double seen_by(std::int64_t past, std::int64_t n, std::int64_t window) {
  const std::int64_t growing = std::clamp<std::int64_t>(window - past, 0, n);  // those that see all before them
  const auto g = static_cast<double>(growing);
  return g * static_cast<double>(past) + g * (g + 1) / 2 +
         static_cast<double>(n - growing) * static_cast<double>(window);
}

struct Cost {
  double weight_bytes = 0;    // read by a call of one token: the matrices with their scales; of experts, those chosen
  double past_bytes = 0;      // keys and values of one position, read by each token that comes after it
  double fmas = 0;            // multiply-adds of a token in the layers' matrices
  double output_fmas = 0;     // of a row of logits
  double attention_fmas = 0;  // of a token, for each position that it attends to: scores and weighted sums

  // Of the layers that keep a state, however long the text: what a token reads of it and writes anew, and
  // multiply-adds.
  double state_bytes = 0, state_fmas = 0;

  // The same as the two above them of the layers where a token sees no more than a window; not in those.
  struct Window {
    std::int64_t tokens = 0;
    double past_bytes = 0, attention_fmas = 0;
  };
  std::vector<Window> windows{};

  // Bytes that one token after `past` others has to read.
  double step_bytes(std::int64_t past) const {
    double bytes = weight_bytes + state_bytes + past_bytes * static_cast<double>(past);
    for (const Window& w : windows) bytes += w.past_bytes * static_cast<double>(std::min(past, w.tokens - 1));
    return bytes;
  }

  // Multiply-adds of `tokens` tokens fed in one call after `past` others, without the output layer.
  double call_fmas(std::int64_t past, std::int64_t tokens) const {
    const auto n = static_cast<double>(tokens);
    double all = n * (fmas + state_fmas) + attention_fmas * n * (static_cast<double>(past) + (n + 1) / 2);
    for (const Window& w : windows) all += w.attention_fmas * seen_by(past, tokens, w.tokens);
    return all;
  }
};

inline Cost cost_of(const Model& m) {
  const Card& c = m.card();
  const Inventory& w = m.weights();
  const double past = static_cast<double>(2 * c.kv_heads * c.head_dim) * static_cast<double>(size_of(m.past_dtype()));
  const auto attention = static_cast<double>(2 * c.heads * c.head_dim);
  Cost cost{.weight_bytes = static_cast<double>(w.products.bytes + w.output_product.bytes),
            .fmas = static_cast<double>(w.products.weights),
            .output_fmas = static_cast<double>(w.output_product.weights)};
  for (const StateShape& s : c.states()) {
    cost.state_bytes += 2 * static_cast<double>(s.bytes());
    // A product with each key, with each query and the matrix's own change, beside it the taps.
    cost.state_fmas += static_cast<double>(3 * s.heads * s.keys * s.values + (s.inputs + 1) * s.channels);
  }
  std::int64_t see_all = c.layers_with_keys();
  for (const std::int64_t window : c.windows) {
    if (window == 0) continue;
    --see_all;
    cost.windows.push_back({.tokens = window, .past_bytes = past, .attention_fmas = attention});
  }
  cost.past_bytes = static_cast<double>(see_all) * past;
  cost.attention_fmas = static_cast<double>(see_all) * attention;
  return cost;
}

}  // namespace pkv::model
