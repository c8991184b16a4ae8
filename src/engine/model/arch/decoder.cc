#include "engine/model/arch/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "engine/model/arch/arch.h"
#include "engine/model/arch/mixture.h"
#include "engine/model/arch/rope.h"

namespace pkv::model::arch {
namespace {

// What stands before the first layer and after the last one, in every order of a layer's verbs.
void begin(const Decoder& m, Pass& p) {
  p.embed(m.embedding, m.embedding_scale, m.widen);
  if (m.positions) p.add_positions(m.positions);
  if (m.embedding_norm) p.replace(p.norm(*m.embedding_norm));
  p.rotary(m.rotations);
}

void end(const Decoder& m, Pass& p) {
  p.head();
  if (m.norm) p.replace(p.norm(*m.norm));
  p.logits(m.narrow ? p.dense(m.narrow, kernels::Act::identity) : p.hidden(), m.head, m.logit_scale, m.logit_cap);
}

}  // namespace

void run(const Decoder& m, Pass& p) {
  const auto branch = [&](Branch b, const std::optional<Norm>& after) {
    if (after) b = p.norm(*after, b);
    b.scale = m.branch_scale;
    p.add(b);
  };
  begin(m, p);
  for (const Decoder::Layer& l : m.layers) {
    const View mixed = l.before_attention ? p.norm(*l.before_attention) : p.hidden();
    branch(l.convolution ? p.convolve(mixed, *l.convolution)
           : l.net       ? p.recur(mixed, *l.net)
           : l.scan      ? p.recur(mixed, *l.scan)
                         : p.attend(mixed, l.attention),
           l.after_attention);
    if (l.mixture || l.mlp.down) {
      const View last = l.before_mlp ? p.norm(*l.before_mlp) : p.hidden();
      branch(l.mixture ? p.mix(last, *l.mixture) : p.mlp(last, l.mlp), l.after_mlp);
    }
    p.end_layer();
  }
  end(m, p);
}

void run(const Parallel& parallel, Pass& p) {
  const Decoder& m = parallel.decoder;
  begin(m, p);
  for (const Decoder::Layer& l : m.layers) {
    const View normed = p.norm(*l.before_attention);
    const Branch attended = p.attend(normed, l.attention);
    const Branch grown = p.mlp(l.before_mlp ? p.norm(*l.before_mlp) : normed, l.mlp);
    p.add(attended);
    p.add(grown);
    p.end_layer();
  }
  end(m, p);
}

void run(const AfterSums& after, Pass& p) {
  const Decoder& m = after.decoder;
  begin(m, p);
  for (const Decoder::Layer& l : m.layers) {
    p.add(p.attend(p.hidden(), l.attention));
    p.replace(p.norm(*l.after_attention));
    p.add(p.mlp(p.hidden(), l.mlp));
    p.replace(p.norm(*l.after_mlp));
    p.end_layer();
  }
  end(m, p);
}

namespace {

// What a layer is, by the config.
struct Kind {
  std::int64_t window = 0;  // 0: none
  int rotation = 0;         // which; -1: none
  bool attends = true;      // or has the row's mixer
};

std::vector<bool> windowed_by_type(const hf::Config& c, std::int64_t layers) {
  std::vector<bool> windowed;
  for (const std::string& type : c.texts({"layer_types"})) {
    if (type != "full_attention" && type != "sliding_attention") {
      c.unsupported("layer_types", "full_attention and sliding_attention");
    }
    windowed.push_back(type == "sliding_attention");
  }
  if (!windowed.empty() && std::ssize(windowed) != layers) {
    c.unsupported("layer_types", fmt::format("{} entries", layers));
  }
  return windowed;
}

std::int64_t read_window(const hf::Config& c, const Absent& absent) {
  std::optional<std::int64_t> missing;
  if (absent.window > 0) missing = absent.window;
  return c.integer_or_none({"sliding_window"}, 0, kMaxTokens, missing).value_or(0);
}

// Which layers turn, of a config that names those that do not.
std::vector<bool> turned_layers(const hf::Config& c, std::int64_t layers) {
  const std::int64_t each = c.integer_or({"no_rope_layer_interval"}, 4, 1, kMaxWidth);
  const std::vector<std::int64_t> listed = c.integers({"no_rope_layers"}, 0, 1);  // 1: the layer turns
  if (!listed.empty() && std::ssize(listed) < layers) {
    c.unsupported("no_rope_layers", fmt::format("{} entries", layers));
  }
  std::vector<bool> turned;
  for (std::int64_t i = 0; i < layers; ++i) {
    turned.push_back(listed.empty() ? (i + 1) % each != 0 : listed[static_cast<std::size_t>(i)] == 1);
  }
  return turned;
}

// [[["global", "local"], 12]]: the list in it, 12 times.
std::vector<Kind> listed_kinds(const hf::Config& c, std::int64_t layers) {
  const std::int64_t window = c.integer_or({"window_size"}, 256, 1, kMaxTokens);
  const auto refuse = [&] {
    c.unsupported("attention_types", fmt::format("[[[\"global\", \"local\"], times], ...] for {} layers", layers));
  };
  std::vector<Kind> kinds;
  const Json* all = c.value({"attention_types"});
  c.without_effect({"attention_layers"});
  if (all == nullptr || !all->is_array()) refuse();
  for (const Json& item : all->elements()) {
    if (!item.is_array() || item.elements().size() != 2 || !item.elements()[0].is_array()) refuse();
    if (!item.elements()[1].fits(0, layers)) refuse();
    for (std::int64_t i = 0; i < item.elements()[1].integer() && std::ssize(kinds) <= layers; ++i) {
      for (const Json& type : item.elements()[0].elements()) {
        if (!type.is_text() || (type.text() != "global" && type.text() != "local")) refuse();
        kinds.push_back({.window = type.text() == "local" ? window : 0, .rotation = -1});
      }
    }
  }
  if (std::ssize(kinds) != layers) refuse();
  return kinds;
}

// Layers of which some attend and the others have the row's mixer.
std::vector<Kind> mixed_kinds(const hf::Config& c, const Row& row, std::int64_t layers) {
  std::vector<Kind> kinds(static_cast<std::size_t>(layers));
  const std::vector<std::string> types = c.texts({"layer_types"});
  if (!types.empty() && std::ssize(types) != layers) {
    c.unsupported("layer_types", fmt::format("{} entries", layers));
  }
  std::optional<std::vector<std::int64_t>> listed;
  if (!row.mixer.listed.empty() && c.has(row.mixer.listed)) listed = c.integers({row.mixer.listed}, 0, layers - 1);
  const std::int64_t each =
      row.mixer.each.empty() ? row.mixer.absent : c.integer_or({row.mixer.each}, row.mixer.absent, 1, kMaxWidth);
  const bool turns = row.turn.by_key.empty() || c.text_or_none({row.turn.by_key}).value_or("") == "rope";
  for (std::int64_t i = 0; i < layers; ++i) {
    bool& attends = kinds[static_cast<std::size_t>(i)].attends;
    if (!types.empty()) {
      const std::string& type = types[static_cast<std::size_t>(i)];
      attends = type == "full_attention" || type == "attention";
      const bool old = row.mixer.which == Mixer::scan && type == "mamba";
      if (!attends && type != row.mixer.type && !old) {
        c.unsupported("layer_types", fmt::format("full_attention and {}", row.mixer.type));
      }
    } else if (listed) {
      attends = std::ranges::count(*listed, i) > 0;
    } else {
      attends = (i + 1) % each == 0;
    }
    if (!turns) kinds[static_cast<std::size_t>(i)].rotation = -1;
  }
  return kinds;
}

std::vector<Kind> read_kinds(const hf::Config& c, const Row& row, std::int64_t layers) {
  if (row.mixer.which != Mixer::none) return mixed_kinds(c, row, layers);
  std::vector<Kind> kinds(static_cast<std::size_t>(layers));
  std::int64_t window = 0, from = 0, each = row.layers.full_each;
  std::vector<bool> turned(kinds.size(), true), told;
  const Layers which = row.layers.which;
  if (which == Layers::listed) return listed_kinds(c, layers);
  if (which == Layers::late_windows || which == Layers::early_windows)
    from = c.integer_or({"max_window_layers"}, 28, 0, kMaxWidth);
  if (which == Layers::some_unturned) turned = turned_layers(c, layers);
  if (which != Layers::full) window = read_window(c, row.absent);
  const bool alike = which == Layers::full || which == Layers::windows || which == Layers::used_windows;
  if (!alike) told = windowed_by_type(c, layers);
  const bool by_use = which == Layers::late_windows || which == Layers::used_windows || which == Layers::early_windows;
  const bool heeds_use = by_use || which == Layers::some_unturned || row.layers.refused;
  const bool used = heeds_use && c.flag_or({"use_sliding_window"}, false);
  if (used && row.layers.refused) c.unsupported("use_sliding_window", "false, for this family");
  if (by_use && !used) window = 0;
  // transformers gives such layers a window of nothing.
  if (which == Layers::early_windows && !used && std::ranges::find(told, true) != told.end()) {
    c.unsupported("layer_types", "full_attention alone, where use_sliding_window is false");
  }
  if (which == Layers::some_unturned && !used && told.empty()) window = 0;
  if (!row.layers.key.empty()) {
    const std::optional<std::int64_t> given =
        told.empty() ? c.integer_or_none({row.layers.key}, 1, kMaxWidth, each) : each;
    if (!given) window = 0;
    each = given.value_or(1);
    c.without_effect({row.layers.key});
  }
  const auto sees_window = [&](std::int64_t i) {
    switch (which) {
      case Layers::full:
      case Layers::listed:
        return false;
      case Layers::windows:
      case Layers::used_windows:
        return true;
      case Layers::early_windows:
        return i < from && i % 2 == 0;
      case Layers::late_windows:
        return i >= from;
      case Layers::nth_full:
        return each == 0 || (i + 1) % each != 0;
      case Layers::first_full:
        return each == 0 || i % each != 0;
      case Layers::some_unturned:
        return !turned[static_cast<std::size_t>(i)];
    }
    return false;
  };
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const bool sees = told.empty() ? sees_window(static_cast<std::int64_t>(i)) : told[i];
    if (sees) kinds[i].window = window;
    if (sees && row.turn.local_theta > 0) kinds[i].rotation = 1;
    if (!turned[i] || (row.turn.local_only && window > 0 && !sees)) kinds[i].rotation = -1;
  }
  if (row.turn.by != Positions::rotary) {
    for (Kind& k : kinds) k.rotation = -1;
  }
  c.without_effect({"sliding_window", "use_sliding_window", "max_window_layers", "layer_types"});
  return kinds;
}

bool is_set(const hf::Config& c, const Flag& flag) {
  return flag.key.empty() ? flag.absent : c.flag_or_none({flag.key, flag.other}, flag.absent).value_or(false);
}

// Two thirds of it, times a factor, rounded up to a multiple.
std::int64_t adjusted_inner(const hf::Config& c, std::int64_t inner) {
  const bool adjusts = c.flag_or({"block_auto_adjust_ff_dim"}, true);
  const std::int64_t multiple = c.integer_or({"block_multiple_of"}, 256, 1, kMaxWidth);
  const std::optional<double> factor = c.number_or_none({"block_ffn_dim_multiplier"}, 1);
  if (!adjusts) return inner;
  inner = 2 * inner / 3;
  if (!factor) return inner;
  if (!(*factor > 0)) c.unsupported("block_ffn_dim_multiplier", "null or a positive number");
  inner = static_cast<std::int64_t>(*factor * static_cast<double>(inner));
  return (inner + multiple - 1) / multiple * multiple;
}

Card read_card(const hf::Config& c, const Row& row) {
  Card card{.family = std::string(row.family),
            .model_type = std::string(row.model_type),
            .context_is_hard = false,
            .positions = row.turn.by,
            .notes = ""};
  card.vocab = c.integer({"vocab_size"}, 1, kMaxTokens);
  card.hidden = c.integer({"hidden_size", "n_embd", "n_embed"}, 1, kMaxWidth);
  card.layers = c.integer({"num_hidden_layers", "num_layers", "n_layer"}, 1, kMaxWidth);
  card.heads = c.integer({"num_attention_heads", "n_head", "num_heads"}, 1, kMaxWidth);
  std::optional<std::int64_t> kv_heads, head_dim;
  if (row.absent.kv_heads > 0) kv_heads = row.absent.kv_heads;
  if (row.absent.head_dim > 0) head_dim = row.absent.head_dim;
  card.kv_heads = c.integer_or_none({"num_key_value_heads"}, 1, kMaxWidth, kv_heads).value_or(card.heads);
  if (!row.fused.multi_query.empty() && c.flag_or({row.fused.multi_query}, true)) card.kv_heads = 1;
  if (card.heads % card.kv_heads != 0) {
    c.unsupported("num_key_value_heads", fmt::format("a divisor of the number of attention heads, {}", card.heads));
  }
  const std::optional<std::int64_t> given = c.integer_or_none({"head_dim"}, 1, kMaxWidth, head_dim);
  card.head_dim = given ? *given : head_size(c, card.hidden, card.heads);
  const bool adjusted = row.scales.adjusted_inner;
  const hf::Names of_blocks{"block_ff_dim", "intermediate_size"}, plain{"intermediate_size", "n_inner", "ffn_dim"};
  const hf::Names shared{"shared_intermediate_size"};
  const bool beside_experts = row.names.gate_up.starts_with("shared_mlp");
  const hf::Names inner_keys = adjusted ? of_blocks : beside_experts ? shared : plain;
  if (beside_experts && c.integer_or({"num_local_experts"}, 8, 0, kMaxWidth) > 0) {
    c.unsupported("num_local_experts", "0");
  }
  const std::optional<std::int64_t> inner = c.integer_or_none(inner_keys, 1, kMaxWidth);
  card.inner = inner || row.absent.inner == 0 ? c.integer(inner_keys, 1, kMaxWidth) : row.absent.inner * card.hidden;
  if (adjusted) card.inner = adjusted_inner(c, card.inner);
  card.context = c.integer_or({"max_position_embeddings", "n_positions"}, 2048, 1, kMaxTokens);
  card.tied = adjusted ? c.flag_or({"tie_embedding", "tie_word_embeddings"}, row.absent.tied)
                       : c.flag_or({"tie_word_embeddings"}, row.absent.tied);
  card.first_position = row.turn.first;
  if (row.turn.by == Positions::learned) card.context_is_hard = true;
  return card;
}

kernels::Act read_act(const hf::Config& c, const Row& row) {
  const std::string_view key = row.act.key;
  if (row.act.xielu && c.text_or({key}, "xielu") == "xielu") return kernels::Act::identity;
  const auto stands = [&](std::string_view name) { return c.has(name) || c.is_null(name); };
  if (!stands(key) && !stands(row.act.other)) return *kernels::act_from_name(row.act.absent);
  const kernels::Act act = read_activation(c, {key, row.act.other});
  return act == kernels::Act::gelu && row.act.gelu_is_tanh ? kernels::Act::gelu_tanh : act;
}

// Mamba-2's sizes: hybrids have "mamba_" before their keys, and some other names.
StateShape scan_state(const hf::Config& c, const Card& card) {
  const bool hybrid = c.has("mamba_n_heads") || c.has("mamba_d_state");
  const std::int64_t inner = card.hidden * c.integer_or({hybrid ? "mamba_expand" : "expand"}, 2, 1, 64);
  StateShape s{.inputs = c.integer_or({hybrid ? "mamba_d_conv" : "conv_kernel"}, 4, 2, kernels::kMostTaps) - 1};
  s.heads = c.integer_or({hybrid ? "mamba_n_heads" : "num_heads"}, 128, 1, kMaxWidth);
  s.keys = c.integer_or({hybrid ? "mamba_d_state" : "state_size"}, hybrid ? 256 : 128, 1, kernels::kMostKeys);
  s.values = inner / s.heads;
  const std::string_view dim = hybrid ? "mamba_d_head" : "head_dim";
  const Json* given = c.value({dim});
  const bool by_itself = given == nullptr || given->is_null() || given->is_text();  // "auto"
  if (inner % s.heads != 0 || (!by_itself && c.integer({dim}, 1, kMaxWidth) != s.values)) {
    c.unsupported(dim, fmt::format("{} heads of one size, together {} wide", s.heads, inner));
  }
  const std::string_view key = hybrid ? "mamba_n_groups" : "n_groups";
  const std::int64_t groups = c.integer_or({key}, hybrid ? 1 : 8, 1, kMaxWidth);
  if (s.heads % groups != 0) c.unsupported(key, fmt::format("a divisor of the number of heads, {}", s.heads));
  s.channels = inner + 2 * groups * s.keys;
  return s;
}

// What a layer with the row's mixer keeps.
StateShape state_of(const hf::Config& c, const Row& row, const Card& card) {
  const auto taps = [&](std::string_view key, std::int64_t absent) {
    return c.integer_or({key}, absent, 2, kernels::kMostTaps);
  };
  if (row.mixer.which == Mixer::convolution) return {.inputs = taps("conv_L_cache", 3) - 1, .channels = card.hidden};
  if (row.mixer.which == Mixer::none) return {};
  if (row.mixer.which == Mixer::scan) return scan_state(c, card);
  StateShape s{.inputs = taps("linear_conv_kernel_dim", 4) - 1};
  const std::int64_t key_heads = c.integer_or({"linear_num_key_heads"}, 16, 1, kMaxWidth);
  s.heads = c.integer_or({"linear_num_value_heads"}, 32, 1, kMaxWidth);
  s.keys = c.integer_or({"linear_key_head_dim"}, 128, 1, kernels::kMostKeys);
  s.values = c.integer_or({"linear_value_head_dim"}, 128, 1, kMaxWidth);
  if (s.heads % key_heads != 0) {
    c.unsupported("linear_num_value_heads", fmt::format("a multiple of linear_num_key_heads, {}", key_heads));
  }
  s.channels = 2 * key_heads * s.keys + s.heads * s.values;
  return s;
}

// [least, most] of a step; transformers writes infinity as an object of its own.
std::pair<float, float> step_limits(const hf::Config& c) {
  const Json* given = c.value({"time_step_limit"});
  if (given == nullptr || given->is_null()) return {0.f, std::numeric_limits<float>::infinity()};
  const auto refuse = [&] { c.unsupported("time_step_limit", "[least, most], numbers from 0 on"); };
  if (!given->is_array() || given->elements().size() != 2) refuse();
  const auto number = [&](const Json& x) {
    const Json* named = x.is_object() ? x.find("__float__") : nullptr;
    if (named != nullptr && named->is_text() && named->text() == "Infinity") {
      return std::numeric_limits<double>::infinity();
    }
    if (!x.is_number() || !(x.number() >= 0)) refuse();
    return x.number();
  };
  const double least = number(given->elements()[0]), most = number(given->elements()[1]);
  if (!(least <= most)) refuse();
  return {static_cast<float>(least), static_cast<float>(most)};
}

// Reads the layers of one model.
class LayerReader {
 public:
  LayerReader(Reader& in, const Row& row, const Card& card, bool one_norm, bool after_sums)
      : in_(in),
        row_(row),
        card_(card),
        one_norm_(one_norm),
        after_sums_(after_sums),
        act_(read_act(in.config(), row)) {
    const hf::Config& c = in.config();
    eps_ = row.norm.eps.empty() ? row.absent.eps : c.number_or({row.norm.eps, row.norm.other}, row.absent.eps);
    form_ = row.norm.form;
    if (!is_set(c, row.norm.weighted)) form_.weight = form_.bias = false;
    qkv_bias_ = is_set(c, row.biases.qkv);
    out_bias_ = is_set(c, row.biases.out);
    mlp_bias_ = is_set(c, row.biases.mlp);
    heads_ = row.heads.key.empty() || is_set(c, {row.heads.key}) ? row.heads.form : Heads::plain;
    xielu_ = row.act.xielu && c.text_or({row.act.key}, "xielu") == "xielu";
    scale_ = row.scales.none ? 1 : 1 / std::sqrt(static_cast<double>(card.head_dim));
    if (card.positions == Positions::alibi) slopes_ = in.constants(alibi_slopes(card.heads));
    if (row.scales.multipliers) scale_ = c.number_or({"attention_multiplier"}, 1);
    if (row.scales.query_scalar > 0) {
      const double scalar = c.number_or({"query_pre_attn_scalar"}, static_cast<double>(row.scales.query_scalar));
      if (!(scalar > 0)) c.unsupported("query_pre_attn_scalar", "a positive number");
      scale_ = 1 / std::sqrt(scalar);
    }
    if (row.scales.score_cap) cap_ = c.number_or_none({"attn_logit_softcapping"}, *row.scales.score_cap).value_or(0);
    if (cap_ < 0) c.unsupported("attn_logit_softcapping", "null or a positive number");
    plan_ = read_plan(c, row, card, act_);
    if (row.scales.clip) clip_ = c.number_or_none({"clip_qkv"}).value_or(0);
    if (clip_ < 0) c.unsupported("clip_qkv", "null or a positive number");
    // Such a family's class limits them after their norms.
    if (clip_ > 0 && normalises_heads()) c.unsupported("clip_qkv", "null, where queries and keys are normalised");
  }

  bool normalises_heads() const { return heads_ != Heads::plain; }
  bool caps_scores() const { return cap_ > 0; }
  const MixturePlan& plan() const { return plan_; }
  Norm norm(const std::string& name) const { return in_.norm(name, card_.hidden, eps_, form_); }

  Decoder::Layer read(std::int64_t i, const Kind& kind) const {
    const std::string at = fmt::format("{}{}.", row_.names.layer, i);
    const TensorNames& n = row_.names;
    const auto norm_or_none = [&](std::string_view name) -> std::optional<Norm> {
      if (name.empty()) return std::nullopt;
      return norm(at + std::string(name));
    };
    Decoder::Layer layer;
    if (is_mixed(i)) {
      layer.mixture = read_mixture(in_, row_, card_, plan_, i, at, mlp_bias_);
    } else if (!n.down.empty()) {
      layer.mlp = read_mlp(at);
    }
    if (after_sums_) {
      layer.after_attention = norm(at + std::string(n.before_attention));
      layer.after_mlp = norm(at + std::string(n.before_mlp));
    } else {
      layer.before_attention = norm_or_none(n.before_attention);
      layer.after_attention = norm_or_none(n.after_attention);
      layer.before_mlp = norm_or_none(one_norm_ ? "" : n.before_mlp);
      layer.after_mlp = norm_or_none(n.after_mlp);
    }
    if (kind.attends) {
      layer.attention = read_attention(at, kind);
    } else if (row_.mixer.which == Mixer::convolution) {
      layer.convolution = read_convolution(at + std::string(n.mixer));
    } else if (row_.mixer.which == Mixer::delta) {
      layer.net = read_net(at + std::string(n.mixer));
    } else {
      layer.scan = read_scan(at + std::string(n.mixer));
    }
    return layer;
  }

 private:
  Projection linear(const std::string& at, std::string_view name, std::int64_t out, std::int64_t in, bool bias) const {
    return in_.linear(at + std::string(name), out, in, bias);
  }

  ShortConvolution read_convolution(const std::string& at) const {
    const bool bias = in_.config().flag_or({"conv_bias"}, false);
    const StateShape& state = state_of(in_.config(), row_, card_);
    return {.in = in_.linear(at + "in_proj", 3 * card_.hidden, card_.hidden, bias),
            .out = in_.linear(at + "out_proj", card_.hidden, card_.hidden, bias),
            .filter = in_.filter(at + "conv", card_.hidden, state.inputs + 1, bias)};
  }

  Scan read_scan(const std::string& at) const {
    const hf::Config& c = in_.config();
    const StateShape s = state_of(c, row_, card_);
    const bool bias = c.flag_or({"mamba_proj_bias", "use_bias"}, false);
    const bool filter_bias = c.flag_or({"mamba_conv_bias", "use_conv_bias"}, true);
    const std::int64_t inner = s.heads * s.values, groups = (s.channels - inner) / (2 * s.keys);
    const auto [least, most] = step_limits(c);
    Scan scan{.in = in_.linear(at + "in_proj", inner + s.channels + s.heads, card_.hidden, bias),
              .out = in_.linear(at + "out_proj", card_.hidden, inner, bias),
              .filter = in_.filter(at + "conv1d", s.channels, s.inputs + 1, filter_bias),
              .norm = in_.norm(at + "norm", inner, eps_, {.centred = false, .bias = false}),
              .rate = rate(at, s.heads),
              .bias = in_.vector(at + "dt_bias", s.heads),
              .skip = in_.vector(at + "D", s.heads),
              .least = least,
              .most = most,
              .groups = groups,
              .heads = s.heads,
              .keys = s.keys,
              .values = s.values};
    scan.filter.act = act_;
    scan.norm.weight = View(scan.norm.weight.data, DType::f32, {groups, inner / groups});
    return scan;
  }

  View rate(const std::string& at, std::int64_t heads) const {
    std::vector<float> rate = in_.values(at + "A_log", heads);
    for (float& x : rate) x = std::exp(x);
    return in_.constants(rate);
  }

  // Queries and keys are made as long as 1: a root mean square norm, by 1 / sqrt(keys); queries another time by it.
  DeltaNet read_net(const std::string& at) const {
    const hf::Config& c = in_.config();
    const StateShape s = state_of(c, row_, card_);
    const std::int64_t key_heads = (s.channels - s.heads * s.values) / (2 * s.keys);
    const double root = std::sqrt(static_cast<double>(s.keys)), eps = 1e-6 / static_cast<double>(s.keys);
    const auto unit = [&](double length) {
      return Norm{
          .weight = in_.constants(std::vector<float>(static_cast<std::size_t>(s.keys), static_cast<float>(length))),
          .bias = {},
          .eps = static_cast<float>(eps),
          .centred = false};
    };
    DeltaNet net{.qkv = in_.linear(at + "in_proj_qkv", s.channels, card_.hidden, false),
                 .gate = in_.linear(at + "in_proj_z", s.heads * s.values, card_.hidden, false),
                 .b = in_.linear(at + "in_proj_b", s.heads, card_.hidden, false),
                 .a = in_.linear(at + "in_proj_a", s.heads, card_.hidden, false),
                 .out = in_.linear(at + "out_proj", card_.hidden, s.heads * s.values, false),
                 .filter = in_.filter(at + "conv1d", s.channels, s.inputs + 1, false),
                 .q = unit(1 / (root * root)),
                 .k = unit(1 / root),
                 .norm = in_.norm(at + "norm", s.values, eps_, {.centred = false, .bias = false}),
                 .rate = rate(at, s.heads),
                 .bias = in_.vector(at + "dt_bias", s.heads),
                 .key_heads = key_heads,
                 .heads = s.heads,
                 .keys = s.keys,
                 .values = s.values};
    net.filter.act = act_;
    return net;
  }

  bool is_mixed(std::int64_t i) const { return plan_.experts > 0 && plan_.chosen[static_cast<std::size_t>(i)] > 0; }

  Attention read_attention(const std::string& at, const Kind& kind) const {
    const TensorNames& n = row_.names;
    const std::int64_t q = card_.heads * card_.head_dim, kv = card_.kv_heads * card_.head_dim, hidden = card_.hidden;
    Attention a;
    if (!n.qkv.empty()) {
      a.qkv = linear(at, n.qkv, q + 2 * kv, hidden, qkv_bias_);
      a.fused = card_.kv_heads == 1 && !row_.fused.multi_query.empty() ? Fused::parts : row_.fused.form;
    } else {
      a.gated = row_.heads.gated;
      a.q = linear(at, n.q, a.gated ? 2 * q : q, hidden, qkv_bias_);
      a.k = linear(at, n.k, kv, hidden, qkv_bias_);
      a.v = linear(at, n.v, kv, hidden, qkv_bias_);
    }
    a.out = linear(at, n.out, hidden, q, out_bias_);
    a.scale = static_cast<float>(scale_);
    a.rotation = kind.rotation;
    a.window = kind.window;
    a.cap = static_cast<float>(cap_);
    a.clip = static_cast<float>(clip_);
    a.alibi.slopes = slopes_;
    if (!n.sinks.empty()) a.sinks = in_.vector(at + std::string(n.sinks), card_.heads);
    if (heads_ != Heads::plain) {
      a.norms = HeadNorms{.q = head_norm(at + std::string(n.q_norm), card_.heads),
                          .k = head_norm(at + std::string(n.k_norm), card_.kv_heads),
                          .all_heads = heads_ == Heads::all_together,
                          .after_rotation = heads_ == Heads::each_turned};
    }
    return a;
  }

  Norm head_norm(const std::string& name, std::int64_t heads) const {
    const NormForm& form = form_;
    switch (heads_) {
      case Heads::each_own:
        return in_.head_norm(name + ".weight", heads, card_.head_dim, eps_, form.centred);
      case Heads::each_apart: {
        std::vector<std::string> names;
        for (std::int64_t i = 0; i < heads; ++i) names.push_back(fmt::format("{}.norms.{}.weight", name, i));
        return in_.head_norm(names, card_.head_dim, eps_, form.centred);
      }
      case Heads::all_together:
        return in_.norm(name, heads * card_.head_dim, eps_, form);
      default:
        return in_.norm(name, card_.head_dim, eps_, form);
    }
  }

  Mlp read_mlp(const std::string& at) const {
    const TensorNames& n = row_.names;
    Mlp mlp;
    if (!n.gate_up.empty()) {
      mlp.gate_up = linear(at, n.gate_up, 2 * card_.inner, card_.hidden, mlp_bias_);
    } else {
      if (!n.gate.empty()) mlp.gate = linear(at, n.gate, card_.inner, card_.hidden, mlp_bias_);
      mlp.up = linear(at, n.up, card_.inner, card_.hidden, mlp_bias_);
    }
    mlp.down = linear(at, n.down, card_.hidden, card_.inner, mlp_bias_);
    mlp.act = act_;
    if (xielu_) mlp.xielu = in_.constants(xielu(at + "mlp.act_fn."));
    return mlp;
  }

  // Parameters as the operation takes them, of those that are stored as what softplus makes positive.
  std::vector<float> xielu(const std::string& at) const {
    const float b = in_.number(at + "beta", 0.5f), e = in_.number(at + "eps", -1e-6f);
    const auto softplus = [](double x) { return std::max(x, 0.) + std::log1p(std::exp(-std::abs(x))); };
    return {static_cast<float>(softplus(in_.number(at + "alpha_p"))),
            static_cast<float>(b + softplus(in_.number(at + "alpha_n"))), b, e};
  }

  Reader& in_;
  const Row& row_;
  const Card& card_;
  bool one_norm_, after_sums_;
  NormForm form_;
  kernels::Act act_;
  Heads heads_ = Heads::plain;
  double eps_ = 0, scale_ = 1, cap_ = 0, clip_ = 0;
  View slopes_;
  MixturePlan plan_;
  bool xielu_ = false, qkv_bias_ = false, out_bias_ = false, mlp_bias_ = false;
};

std::string_view mixer_text(Mixer which) {
  return which == Mixer::convolution ? "short convolutions" : which == Mixer::delta ? "gated delta nets" : "Mamba-2";
}

// "window 4096 in 24 of 32 layers, no rotation in 8"
std::string describe(const std::vector<Kind>& kinds, Mixer which) {
  std::int64_t window = 0, windowed = 0, unturned = 0, mixed = 0;
  for (const Kind& k : kinds) {
    if (!k.attends) ++mixed;
    if (k.window > 0) window = k.window, ++windowed;
    if (k.rotation < 0) ++unturned;
  }
  std::string text;
  if (windowed == std::ssize(kinds)) text = fmt::format("window {}", window);
  if (windowed > 0 && windowed < std::ssize(kinds)) {
    text = fmt::format("window {} in {} of {} layers", window, windowed, kinds.size());
  }
  if (mixed > 0) text = fmt::format("{} in {} of {} layers", mixer_text(which), mixed, kinds.size());
  if (unturned > 0) text += fmt::format("{}no rotation in {}", text.empty() ? "" : ", ", unturned);
  return text;
}

// Where the base model's tensors lie: below the row's prefix; in a wrapper below that of its language model.
std::string prefix_of(const Reader& in, const TensorNames& names) {
  for (const std::string_view wrapper : {"model.language_model.", "language_model.model."}) {
    if (in.has(fmt::format("{}{}.weight", wrapper, names.embedding))) return std::string(wrapper);
  }
  return std::string(names.prefix);
}

// The rotations that layers choose from: that of all; where layers with a window turn otherwise, theirs.
void read_rotations(Reader& in, const Row& row, Decoder& m) {
  if (row.turn.by != Positions::rotary) return;
  const hf::Config& c = in.config();
  RopeShape shape{.head_dim = m.card.head_dim,
                  .context = m.card.context,
                  .theta = row.absent.theta,
                  .theta_key = row.turn.theta_key,
                  .partial = row.turn.partial > 0 ? row.turn.partial : 1,
                  .partial_key = row.turn.partial_key,
                  .may_be_partial = row.turn.partial > 0,
                  .declared = in.declared_context(),
                  .neighbours = row.turn.neighbours,
                  .temperature = row.turn.temperature,
                  .own_factor = row.turn.own_factor,
                  .absent = row.absent.rope,
                  .original = row.absent.original_context};
  if (!row.turn.part_of_key.empty()) {
    const std::int64_t all = m.card.head_dim;
    const std::int64_t turning = c.integer_or_none({row.turn.part_of_key}, 1, all).value_or(all);
    shape.partial = static_cast<double>(turning) / static_cast<double>(all);
  }
  const bool by_dim = !row.turn.dim_key.empty();
  if (by_dim) {
    shape.dim = c.integer_or({row.turn.dim_key}, row.turn.dim, 1, m.card.head_dim);
    if (shape.dim > m.card.head_dim) {
      c.unsupported(row.turn.dim_key,
                    fmt::format("at most the head size, {}; without the key it is {}", m.card.head_dim, row.turn.dim));
    }
  }
  const auto add = [&](Rope rope) {
    rope.rotation.table = in.constants(rope.rotation.frequencies);
    if (rope.for_long_texts) {
      m.card.regime = "longrope for long texts";
      m.card.short_texts = rope.short_texts;
      rope.rotation.short_table = in.constants(rope.short_frequencies);
    }
    if (rope.most_tokens > 0) {
      if (rope.declarable) m.card.longest_context = m.card.context;
      m.card.context = std::min(m.card.context, rope.most_tokens);
      m.card.context_is_hard = true;
    }
    m.rotations.push_back(std::move(rope.rotation));
  };
  Rope rope = by_dim ? read_rope(hf::Config::parse("{}", c.file()), shape) : read_rope(c, shape);
  m.card.rotary_theta = rope.theta;
  m.card.temperature = rope.temperature;
  add(std::move(rope));
  if (row.turn.local_theta > 0) add(read_local_rope(c, shape, row.turn.local_theta));
}

void read_scales(const hf::Config& c, const Row& row, Decoder& m) {
  if (row.scales.root_of_hidden) m.embedding_scale = std::sqrt(static_cast<float>(m.card.hidden));
  if (row.scales.logit_scale > 0) {
    m.logit_scale = static_cast<float>(c.number_or({"logit_scale"}, row.scales.logit_scale));
  }
  if (row.scales.logit_cap) {
    const double cap = c.number_or_none({"final_logit_softcapping"}, *row.scales.logit_cap).value_or(0);
    if (cap < 0) c.unsupported("final_logit_softcapping", "null or a positive number");
    m.logit_cap = static_cast<float>(cap);
  }
  if (!row.scales.multipliers) return;
  m.embedding_scale = static_cast<float>(c.number_or({"embedding_multiplier"}, 1));
  m.branch_scale = static_cast<float>(c.number_or({"residual_multiplier"}, 1));
  const double divisor = c.number_or({"logits_scaling"}, 1);
  if (divisor == 0) c.unsupported("logits_scaling", "not 0");
  m.logit_scale = static_cast<float>(1 / divisor);
}

// Options of these families' classes that would be another order of verbs, each with the value that it must have.
void refuse_unsupported(const hf::Config& c) {
  for (const auto& [key, value] :
       {std::pair{"apply_residual_connection_post_layernorm", false}, {"scale_attn_weights", true}}) {
    if (c.flag_or({key}, value) != value) c.unsupported(key, value ? "true" : "false");
  }
  if (c.flag_or_none({"use_bidirectional_attention"}).value_or(false)) {
    c.unsupported("use_bidirectional_attention", "false");
  }
  c.without_effect({"attention_dropout",
                    "initializer_range",
                    "pretraining_tp",
                    "residual_dropout",
                    "embedding_dropout",
                    "resid_pdrop",
                    "embd_pdrop",
                    "attn_pdrop",
                    "hidden_dropout",
                    "classifier_dropout",
                    "dropout",
                    "layerdrop",
                    "resid_dropout",
                    "embed_dropout",
                    "init_std",
                    "slow_but_exact",
                    "attention_softmax_in_fp32",
                    "scale_attention_softmax_in_fp32",
                    "eod_token_id",
                    "hidden_act",
                    "attn_logit_softcapping",
                    "is_llama_config",
                    "intermediate_size",
                    "conv_dim",
                    "conv_dim_out",
                    "conv_use_xavier_init",
                    "block_dim",
                    "block_norm_eps",
                    "block_mlp_init_scale",
                    "block_out_init_scale",
                    "block_use_swiglu",
                    "block_use_xavier_init",
                    "use_pos_enc",
                    "mamba_ssm_dtype",
                    "mamba_chunk_size",
                    "chunk_size",
                    "time_step_floor",
                    "time_step_max",
                    "time_step_min",
                    "time_step_rank",
                    "rescale_prenorm_residual",
                    "residual_in_fp32",
                    "num_logits_to_keep",
                    "z_loss_coefficient",
                    "attn_rotary_emb",
                    "mlp_only_layers",
                    "rope_interleaved",
                    "is_decoder",
                    "_sliding_window_pattern",
                    "output_router_logits",
                    "router_aux_loss_coef",
                    "router_jitter_noise",
                    "input_jitter_noise",
                    "n_ctx"});
}

}  // namespace

std::unique_ptr<Page> load_decoder(Reader& in) {
  const hf::Config& c = in.config();
  const Row& row = *std::ranges::find(rows(), c.text({"model_type"}), &Row::model_type);
  Decoder m{.card = read_card(c, row),
            .embedding = {},
            .widen = {},
            .positions = {},
            .narrow = {},
            .head = {},
            .rotations = {},
            .layers = {},
            .norm = {}};
  const std::vector<Kind> kinds = read_kinds(c, row, m.card.layers);
  for (const Kind& k : kinds) m.card.windows.push_back(k.window);
  for (const Kind& k : kinds) m.card.turns.push_back(k.rotation);
  if (row.mixer.which != Mixer::none) {
    const StateShape state = state_of(c, row, m.card);
    for (const Kind& k : kinds) m.card.keeps.push_back({.keys = k.attends, .state = k.attends ? StateShape() : state});
  }
  if (row.mixer.which == Mixer::scan) {
    const auto [least, most] = step_limits(c);
    m.card.limits_steps = least > 0 || most < std::numeric_limits<float>::infinity();
  }
  m.card.notes = describe(kinds, row.mixer.which);
  read_rotations(in, row, m);
  read_scales(c, row, m);
  const bool parallel = is_set(c, row.parallel.is);
  const bool after_sums = !is_set(c, row.norm.before);
  const LayerReader layers(in, row, m.card, parallel && row.parallel.one_norm, after_sums);
  m.card.head_norms = layers.normalises_heads();
  m.card.caps_scores = layers.caps_scores();
  m.card.sinks = !row.names.sinks.empty();
  m.card.experts = layers.plan().experts;
  const std::string mixed = layers.plan().describe();
  m.card.notes += (m.card.notes.empty() || mixed.empty() ? "" : ", ") + mixed;
  refuse_unsupported(c);

  const std::string prefix = prefix_of(in, row.names);
  in.base_prefix(prefix);
  const std::string head(row.names.head), inside = "language_model." + head;
  const std::string output = (in.has(inside + ".weight") ? inside : head) + ".weight";
  std::int64_t width = m.card.hidden;
  if (!row.norm.narrow_key.empty()) width = c.integer_or_none({row.norm.narrow_key}, 1, kMaxWidth).value_or(width);
  m.embedding = in.embedding(std::string(row.names.embedding) + ".weight", output, m.card, width);
  if (width != m.card.hidden) {
    m.widen = in.linear(std::string(row.names.widen), m.card.hidden, width, false);
    m.narrow = in.linear(std::string(row.names.narrow), width, m.card.hidden, false);
    m.card.notes += fmt::format("{}embeddings of {}", m.card.notes.empty() ? "" : ", ", width);
  }
  if (!row.names.positions.empty()) {
    m.positions =
        in.matrix(std::string(row.names.positions) + ".weight", m.card.context + m.card.first_position, m.card.hidden);
  }
  if (!row.names.embedding_norm.empty()) m.embedding_norm = layers.norm(std::string(row.names.embedding_norm));
  for (std::int64_t i = 0; i < m.card.layers; ++i) {
    m.layers.push_back(layers.read(i, kinds[static_cast<std::size_t>(i)]));
  }
  if (!after_sums && !is_set(c, row.norm.no_last)) m.norm = layers.norm(std::string(row.names.norm));
  m.head = in.output();
  if (is_set(c, row.biases.head)) m.head.bias = in.vector(head + ".bias", m.card.vocab);
  if (!m.rotations.empty()) in.without_effect("rotary_emb.inv_freq", m.rotations[0].frequencies);
  for (const char* buffer :
       {"rotary_emb.inv_freq", "attention.bias", "attn.bias", ".masked_bias", "attn.causal_mask"}) {
    in.without_effect(buffer);
  }
  const auto note = [&m](std::string_view text) {
    m.card.notes += fmt::format("{}{}", m.card.notes.empty() ? "" : ", ", text);
  };
  if (after_sums) {
    note("norms after the sums");
    return std::make_unique<PageOf<AfterSums>>(AfterSums{.decoder = std::move(m)});
  }
  if (!parallel) return std::make_unique<PageOf<Decoder>>(std::move(m));
  note("parallel attention");
  return std::make_unique<PageOf<Parallel>>(Parallel{.decoder = std::move(m)});
}

}  // namespace pkv::model::arch
