// The blocks that pages are made of: plain structs of Views and numbers. How they are computed is in pass.cc.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/kernels/act.h"
#include "engine/quant/quant.h"
#include "engine/tensor/view.h"

namespace pkv::model {

struct Norm {
  View weight, bias;  // [hidden] fp32; bias may be empty
  float eps = 1e-5f;
};

// A linear layer: what states are multiplied by, and what is added.
struct Projection {
  View weight{}, bias{};      // [out, in]; [out] fp32 or empty
  quant::Matrix quantized{};  // in place of `weight`

  std::int64_t out() const { return quantized ? quantized.out : weight[0]; }
  explicit operator bool() const { return quantized || weight; }
};

// How one matrix product lays out queries, keys and values in its output row.
enum class Fused : std::uint8_t {
  parts,   // all queries, all keys, all values
  groups,  // for each kv head: its queries, its key, its value
};

struct Alibi {
  View slopes;        // [heads] fp32; empty: none
  float scale = 1;    // factor on the bias
  bool bf16 = false;  // slope and bias are rounded to bf16
};

struct Attention {
  Projection qkv;      // one product for all three, laid out as `fused`; or
  Projection q, k, v;  // three products, when qkv is empty
  Projection out;
  Fused fused = Fused::parts;
  float scale = 1;  // of q . k
  float clip = 0;   // limits queries, keys and values; 0: none
  bool causal = true;
  bool rotary = false;
  Alibi alibi;
};

struct Mlp {
  Projection up, down;
  kernels::Act act = kernels::Act::gelu;
};

}  // namespace pkv::model
