// The forward that most decoders since 2023 share, and the rows by which their configs and tensors differ. A family
// shares it when the order of its verbs is the same; where an `if` would go round two or more verbs, it is another
// page: Parallel and AfterSums are. A row is data: what is one number or one name here. No forward sees it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/model/blocks.h"
#include "engine/model/card.h"
#include "engine/model/model.h"
#include "engine/model/reader.h"

namespace pkv::model::arch {

// Two branches in each layer, each with a norm before it, after it, both or none.
struct Decoder {
  struct Layer {
    std::optional<Norm> before_attention, after_attention, before_mlp, after_mlp;
    Attention attention;
    std::optional<ShortConvolution> convolution;  // in place of attention
    std::optional<DeltaNet> net;                  // likewise
    std::optional<Scan> scan;                     // likewise
    Mlp mlp;                                      // without `down`: there is none
    std::optional<Mixture> mixture;               // in the MLP's place
  };

  Card card;
  Projection embedding;
  Projection widen;   // of embeddings narrower than the hidden states, from their width to the hidden states'
  View positions;     // positions: where they are learned
  Projection narrow;  // from the hidden states' width to that of such embeddings, before the head
  Projection head;
  std::optional<Norm> embedding_norm;
  std::vector<Rotation> rotations;
  std::vector<Layer> layers;
  std::optional<Norm> norm;
  float embedding_scale = 1, branch_scale = 1, logit_scale = 1, logit_cap = 0;
};

void run(const Decoder& m, Pass& p);

// The same with both branches of a layer side by side; without `before_mlp` they share their norm.
struct Parallel {
  Decoder decoder;
  Card card = decoder.card;
};

void run(const Parallel& m, Pass& p);

// The same with branches of the hidden states as they are, each of whose sums is replaced by its norm after it.
struct AfterSums {
  Decoder decoder;
  Card card = decoder.card;
};

void run(const AfterSums& m, Pass& p);

// A config key that is true or false; `key` empty: `absent` in any case.
struct Flag {
  std::string_view key = {};
  bool absent = false;
  std::string_view other = {};  // another name of it
};

// Which layers see a window.
enum class Layers : std::uint8_t {
  full,           // none
  windows,        // all, if there is one
  used_windows,   // all, if use_sliding_window
  early_windows,  // as layer_types says; without it each other one before max_window_layers, if use_sliding_window
  late_windows,   // as layer_types says; without it those from max_window_layers on, if use_sliding_window
  nth_full,       // as layer_types says; without it all but each n-th
  first_full,     // as layer_types says; without it all but each n-th, the first among them
  listed,         // as attention_types says, [[["global", "local"], 12]]; the window is window_size
  some_unturned,  // as layer_types says; without it those that no_rope_layers (no_rope_layer_interval) name, which do
                  // not turn, if use_sliding_window
};

// What layers that do not attend have in place of attention.
enum class Mixer : std::uint8_t {
  none,         // all attend
  convolution,  // a short convolution
  delta,        // a gated delta net
  scan,         // Mamba-2
};

enum class Heads : std::uint8_t {
  plain,
  each,          // a norm of each head of queries and keys, one weight for all
  each_own,      // weights for each head, in one tensor [heads, head_dim]
  each_apart,    // the same in tensors of their own, NAME.norms.0
  each_turned,   // as `each`, after they were turned
  all_together,  // a norm over all heads
};

// Names of tensors below the base model's prefix, those of a layer below `layer`N. Empty: there is none.
struct TensorNames {
  std::string_view prefix = "model.", layer = "layers.";
  std::string_view embedding = "embed_tokens", norm = "norm", head = "lm_head";
  std::string_view positions = "", embedding_norm = "", widen = "", narrow = "";
  std::string_view before_attention = "input_layernorm", after_attention = "";
  std::string_view before_mlp = "post_attention_layernorm", after_mlp = "";
  std::string_view q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj", out = "self_attn.o_proj";
  std::string_view qkv = "";  // in place of q, k and v
  std::string_view q_norm = "self_attn.q_norm", k_norm = "self_attn.k_norm";
  std::string_view gate = "mlp.gate_proj", up = "mlp.up_proj", down = "mlp.down_proj";
  std::string_view gate_up = "";  // in place of gate and up
  std::string_view mixer = "";    // what stands in place of attention
  std::string_view sinks = "";
};

// Below a layer's. An expert's matrices are named AT experts.0.GATE; or all are in one tensor [experts, out, in], AT
// GATE_UP and AT DOWN_ALL, or as transformers 5 calls them, experts.gate_up_proj and experts.down_proj; or, of GGUF,
// in experts.gate_proj, experts.up_proj and experts.down_proj.
struct ExpertNames {
  std::string_view at = "mlp.", other_at = "mlp.";  // the second where the router is not in the first
  std::string_view router = "gate", other_router = "gate";
  std::string_view gate = "gate_proj", up = "up_proj", down = "down_proj";
  std::string_view gate_up = "experts.gate_up_proj", down_all = "experts.down_proj";
  std::string_view bias = "", other_bias = "";  // for choosing
  bool bias_is_row = false;                     // [1, experts]
  std::string_view shared = "shared_experts", shared_gate = "";
};

// Which layers have an MLP, not experts.
enum class Dense : std::uint8_t {
  none,
  listed,    // mlp_only_layers, and those that decoder_sparse_step leaves out
  first,     // the first first_k_dense_replace ones, or as mlp_layer_types says
  interval,  // those outside moe_layer_start_index, moe_layer_end_index and moe_layer_interval
};

// Config keys of a mixture, and what the class takes without them.
struct ExpertKeys {
  std::string_view count = "", other_count = "";  // of experts; empty: there are none
  std::string_view chosen = "num_experts_per_tok", other_chosen = "";
  std::string_view inner = "moe_intermediate_size";  // width of an expert
  std::string_view shared = "";        // how many shared experts there are: they are one, so many times as wide; or
  std::string_view shared_inner = "";  // width of the one shared expert
  std::string_view least = "", tolerance = "";  // see kernels::Routing
  std::int64_t count_absent = 8, chosen_absent = 2, inner_absent = 0, shared_absent = 1;
  double factor_absent = 1, least_absent = 0, tolerance_absent = 0;
};

// What transformers' class takes for keys that a config lacks.
struct Absent {
  double theta = 10000, eps = 1e-6;
  std::string_view rope = {};  // rope_parameters, as JSON, where the config has no such object; empty: theta alone
  std::int64_t original_context =
      0;                      // original_max_position_embeddings, in place of what `rope` says; 0: what that says
  std::int64_t kv_heads = 0;  // 0: as many as heads
  std::int64_t head_dim = 0;  // 0: hidden / heads
  std::int64_t inner = 0;     // times hidden; 0: the key must be there
  std::int64_t window = 0;    // 0: none
  bool tied = false;
};

struct Row {
  std::string_view model_type, family;
  struct {
    NormForm form{.centred = false, .bias = false};
    std::string_view eps = "rms_norm_eps";  // empty: what Absent says
    std::string_view other = {};            // another name of it
    Flag before{.absent = true};            // in each branch; if not, in the place of each sum, and no last norm
    Flag no_last{};                         // none after the last layer
    Flag weighted{.absent = true};          // if not, norms have neither weights nor biases
    std::string_view narrow_key = {};       // of the embeddings' width, where it may be less than the hidden states'
  } norm{};
  struct {
    Heads form = Heads::plain;
    std::string_view key = {};  // of a flag, false when absent, without which they are plain; empty: in any case
    bool gated = false;         // each query is followed by a gate
  } heads{};
  struct {
    Flag qkv{}, out{}, mlp{}, head{};
  } biases{};
  struct {
    bool neighbours = false;
    double partial = 0;            // part of a head where the config says none; 0: all
    std::string_view by_key = {};  // layers turn only where this key says "rope"
    std::string_view partial_key = {},
                     theta_key = {};    // of the config, in place of partial_rotary_factor and rope_theta
    std::string_view dim_key = {};      // of the number of elements that turn, in place of their part
    std::int64_t dim = 0;               // that number where the config says none
    std::string_view part_of_key = {};  // of the same number, where partial_rotary_factor is not there
    bool own_factor = false;            // cosines and sines are multiplied by short_mscale
    double local_theta = 0;             // of layers with a window, which turn otherwise; 0: as all
    bool local_only = false;            // where there is a window, other layers do not turn
    bool temperature = false;           // queries grow with their position
    Positions by = Positions::rotary;   // how tokens are placed; of `learned` the first
    std::int64_t first = 0;             // has this row of names.positions
  } turn{};
  struct {
    Layers which = Layers::full;
    std::int64_t full_each = 0;  // of nth_full and first_full; 0: a window everywhere, if there is one
    std::string_view key = {};   // that says it in the config's stead
    bool refused = false;        // use_sliding_window may be there, and must be false
  } layers{};
  struct {
    Mixer which = Mixer::none;
    std::string_view type = {};    // what layer_types calls the layers that have it; without that key
    std::string_view listed = {};  // this one lists the layers that attend; or
    std::string_view each = {};    // each so-many-th attends,
    std::int64_t absent = 1;       // if such a key is absent, too, each of so many
  } mixer{};
  struct {
    bool multipliers = false;       // the keys embedding_, residual_, attention_multiplier and logits_scaling
    bool root_of_hidden = false;    // embeddings are multiplied by the root of their width
    double logit_scale = 0;         // where the config says none; 0: there is no such key
    std::int64_t query_scalar = 0;  // likewise: scores are divided by its root, not by that of head_dim
    std::optional<double> score_cap = {}, logit_cap = {};  // likewise; 0: none
    bool none = false;                                     // scores are not divided at all
    bool clip = false;                                     // clip_qkv limits queries, keys and values
    bool adjusted_inner = false;                           // the MLP is narrower than its key says: block_auto_...
  } scales{};
  struct {
    std::string_view key = "hidden_act", absent = "silu", other = {};  // other: another name of the key
    bool gelu_is_tanh = false;                                         // "gelu" is another name of its approximation
    bool xielu = false;  // a function with parameters, act_fn.alpha_p and the like
  } act{};
  struct {
    Fused form = Fused::parts;          // how names.qkv lays them out
    std::string_view multi_query = {};  // key of a flag, true when absent: all heads share keys and values, in parts
  } fused{};
  struct {
    Flag is{};              // both branches of a layer side by side
    bool one_norm = false;  // with one norm
  } parallel{};
  struct {
    ExpertKeys keys{};
    kernels::Routing::By by = kernels::Routing::By::softmax;
    Flag normalised{};     // weights over their sum
    bool grouped = false;  // the keys n_group, topk_group and routed_scaling_factor
    float more = 0;        // is added to their sum
    Dense dense = Dense::none;
    bool alternate = false;  // gate and up by rows, one tensor of all is [experts, in, out], products and router have
                             // biases, and gate and up are limited by swiglu_limit
    ExpertNames names{};
  } experts{};
  TensorNames names{};
  Absent absent{};
};

std::span<const Row> rows();  // arch/rows.cc

// The page of a model whose model_type is a row's.
std::unique_ptr<Page> load_decoder(Reader& in);

}  // namespace pkv::model::arch
