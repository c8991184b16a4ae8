// The blocks that pages are made of: plain structs of Views and numbers. How they are computed is in pass.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/kernels/act.h"
#include "engine/kernels/routing.h"
#include "engine/quant/quant.h"
#include "engine/tensor/view.h"

namespace pkv::model {

struct Norm {
  View weight, bias;  // fp32, of what is normalised; each may be empty
  float eps = 1e-5f;
  bool centred = true;  // the mean is subtracted; if not: root mean square norm
};

// A linear layer: what states are multiplied by, and what is added. Without a bias: also a table that rows are taken
// from.
struct Projection {
  View weight{}, bias{};      // [out, in]; [out] fp32 or empty
  quant::Matrix quantized{};  // in place of `weight`
  View places{};              // int32 [out]: where what each row gives stands; empty: in the order of rows
  bool as_ggml = false;       // states are rounded as ggml rounds them

  std::int64_t out() const { return quantized ? quantized.out : weight[0]; }
  std::int64_t in() const { return quantized ? quantized.in : weight[1]; }
  explicit operator bool() const { return quantized || weight; }
};

// How one matrix product lays out queries, keys and values in its output row.
enum class Fused : std::uint8_t {
  parts,   // all queries, all keys, all values
  groups,  // for each kv head: its queries, its key, its value
  shards,  // for each quarter of the heads: all queries, all values, all keys
};

// How far a position turns the first elements of queries' and keys' heads, in pairs.
struct Rotation {
  std::vector<float> frequencies;  // of each pair, in radians for each position
  View table{};                    // the same where operations read them
  float factor = 1;                // on cosines and sines
  View short_table{};              // in texts of at most the card's short_texts, for faults; empty: the same
  bool neighbours = false;         // pairs are (2i, 2i + 1), not (i, i + frequencies.size())
};

// Norms of queries and keys: of each head, with one weight [head_dim] or one for each head [heads, head_dim]; or, where
// `all_heads`, of all heads together with a weight [heads * head_dim].
struct HeadNorms {
  Norm q, k;
  bool all_heads = false;
  bool after_rotation = false;
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
  float scale = 1;     // of q . k
  float clip = 0;      // limits queries, keys and values; 0: none
  bool gated = false;  // a head's row of `q` is [query | gate], by whose sigmoid what it gives is multiplied
  bool causal = true;
  int rotation = -1;  // which of the pass's; -1: none
  std::optional<HeadNorms> norms{};
  std::int64_t window = 0;  // a token sees the last so many, itself included; 0: all
  float cap = 0;            // scores are limited softly to [-cap, cap]; 0: not
  View sinks{};             // fp32 [heads], or empty: one more score that every row sees
  Alibi alibi;
};

// A convolution of each channel along the tokens (kernels::Convolve).
struct Filter {
  View weight{}, bias{};  // fp32 [taps, channels], [channels] or empty
  kernels::Act act = kernels::Act::identity;

  std::int64_t channels() const { return weight[1]; }
};

// out(after * convolved(before * x)), of one product whose output row is [before | after | x].
struct ShortConvolution {
  Projection in, out;
  Filter filter{};
};

// Gated delta net (Yang et al. 2024): queries, keys and values of a convolution with its function, the queries and keys
// of each head normalised; a matrix for each head; what that gives is normalised, gated by silu(gate), and mixed by
// out.
struct DeltaNet {
  Projection qkv;  // [all queries | all keys | all values]
  Projection gate, b, a, out;
  Filter filter{};
  Norm q, k;        // of a head of size `keys`
  Norm norm;        // of a head of size `values`
  View rate, bias;  // fp32 [heads]
  std::int64_t key_heads = 0, heads = 0, keys = 0, values = 0;
};

// Mamba-2 (Dao and Gu 2024): of one product whose output row is [gate | x, keys, queries | steps], x, keys and queries
// of a convolution with its function; a matrix for each head; what that gives, times silu(gate), is normalised in
// groups.
struct Scan {
  Projection in, out;
  Filter filter{};
  Norm norm;                  // weight fp32 [groups, heads * values / groups]
  View rate, bias, skip;      // fp32 [heads]
  float least = 0, most = 0;  // of a step
  std::int64_t groups = 0, heads = 0, keys = 0, values = 0;
};

// down(act(up(x))), or down(act(gate(x)) * up(x)).
struct Mlp {
  Projection up, down;
  Projection gate{};     // if any; or
  Projection gate_up{};  // one product for both, the gate's rows first, when `gate` and `up` are empty
  kernels::Act act = kernels::Act::gelu;
  View xielu{};  // fp32 [4], parameters of the function that stands in the place of `act`; without a gate
};

// A matrix for each expert, all of one shape and number format.
struct Experts {
  Projection first{};  // of expert 0; its bias is that of all, fp32 [experts, out] or empty
  View addresses{};    // of all matrices, as kernels::ExpertLinear takes them
  std::int64_t count = 0;

  explicit operator bool() const { return count > 0; }
};

// In an MLP's place: the weighted sum of what the experts give that a router chooses for a row, each an MLP with a
// gate, and what a shared one gives.
struct Mixture {
  Projection router;
  View bias{};  // fp32 [experts], or empty: for choosing
  kernels::Routing routing{};
  std::int64_t chosen = 1;
  Experts gate{}, up{};     // or
  Experts gate_up{};        // one product for both, the gate's rows first, or
  bool neighbours = false;  // each gate's row before its `up`'s
  Experts down;
  kernels::Act act = kernels::Act::silu;
  float limit = 0;  // of gate and up, and 1 is added to `up`: see kernels::Gate; 0: none
  std::optional<Mlp> shared{};
  Projection shared_gate{};  // [1, hidden]: what the shared one gives is multiplied by its sigmoid; or empty
};

}  // namespace pkv::model
