// What a token costs, from the model's shapes and formats alone: bytes that a step has to read and multiply-adds. These
// are the numerators of every share of the machine's peak; nothing here measures.
#pragma once

#include <cstdint>

#include "engine/model/model.h"

namespace pkv::model {

struct Cost {
  double weight_bytes = 0;    // read by each call: the matrices with their scales
  double past_bytes = 0;      // keys and values of one position, read by each token that comes after it
  double fmas = 0;            // multiply-adds of a token in the layers' matrices
  double output_fmas = 0;     // of a row of logits
  double attention_fmas = 0;  // of a token, for each position that it attends to: scores and weighted sums

  // Bytes that one token after `past` others has to read.
  double step_bytes(std::int64_t past) const { return weight_bytes + past_bytes * static_cast<double>(past); }

  // Multiply-adds of `tokens` tokens fed in one call after `past` others, without the output layer.
  double call_fmas(std::int64_t past, std::int64_t tokens) const {
    const auto n = static_cast<double>(tokens);
    return n * fmas + attention_fmas * n * (static_cast<double>(past) + (n + 1) / 2);
  }
};

inline Cost cost_of(const Model& m) {
  const Card& c = m.card();
  const Inventory& w = m.weights();
  return {.weight_bytes = static_cast<double>(w.products.bytes + w.output_product.bytes),
          .past_bytes = static_cast<double>(2 * c.layers * c.kv_heads * c.head_dim) *
                        static_cast<double>(size_of(m.past_dtype())),
          .fmas = static_cast<double>(w.products.weights),
          .output_fmas = static_cast<double>(w.output_product.weights),
          .attention_fmas = static_cast<double>(2 * c.layers * c.heads * c.head_dim)};
}

}  // namespace pkv::model
