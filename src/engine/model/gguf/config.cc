#include "engine/model/gguf/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numbers>
#include <optional>
#include <set>

#include "base/error.h"
#include "engine/model/arch/arch.h"
#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

using arch::kMaxTokens;
using arch::kMaxWidth;
using arch::Layers;
using arch::Row;

constexpr std::int64_t kMaxLayers = 1 << 16;
constexpr std::int64_t kMostRows = 1 << 20;  // elements of all heads

// The metadata of one architecture, whose name stands before its keys.
class GgufKeys {
 public:
  GgufKeys(const GgufFamily& family, const gguf::Model& model)
      : model_(model), meta_(model.metadata()), prefix_(std::string(family.architecture) + ".") {}

  std::string name(std::string_view key) const { return prefix_ + std::string(key); }
  bool has(std::string_view key) const { return meta_.has(name(key)); }
  bool has_tensor(std::string_view tensor) const { return model_.has(tensor); }
  const gguf::Model& model() const { return model_; }

  std::optional<std::int64_t> integer(std::string_view key, std::int64_t least, std::int64_t most) const {
    return meta_.integer(name(key), least, most);
  }
  std::int64_t need(std::string_view key, std::int64_t most) const {
    const auto x = integer(key, 1, most);
    if (!x) meta_.fail_missing(name(key));
    return *x;
  }
  // The largest of a list, where layers without attention have 0; none where all have.
  std::optional<std::int64_t> most_of_layers(std::string_view key) const {
    const std::vector<std::int64_t> all = meta_.integers(name(key), 0, kMaxWidth);
    const std::int64_t most = all.empty() ? 0 : std::ranges::max(all);
    return most > 0 ? std::optional(most) : std::nullopt;
  }
  // The same for all layers, or a list in which all are the same.
  std::optional<std::int64_t> by_layer(std::string_view key, std::int64_t layers) const {
    const gguf::Value* v = meta_.find(name(key));
    if (v == nullptr) return std::nullopt;
    const std::vector<std::int64_t> all = meta_.integers(name(key), 1, kMaxWidth);
    const bool same = !all.empty() && std::ranges::count(all, all[0]) == std::ssize(all);
    if (same && (!v->array || std::ssize(all) >= layers)) return all[0];
    meta_.fail(name(key), fmt::format("one number, the same for all {} layers", layers), gguf::short_text(*v));
  }
  std::optional<double> number(std::string_view key) const {
    const auto x = meta_.number(name(key));
    if (!x) return std::nullopt;
    return as_written(*x);
  }
  double need_number(std::string_view key) const {
    const auto x = number(key);
    if (!x) meta_.fail_missing(name(key));
    return *x;
  }
  std::optional<bool> flag(std::string_view key) const { return meta_.flag(name(key)); }
  std::optional<std::string_view> text(std::string_view key) const { return meta_.text(name(key)); }
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t least, std::int64_t most) const {
    return meta_.integers(name(key), least, most);
  }
  void without_effect(std::initializer_list<std::string_view> keys) const {
    for (const std::string_view key : keys) meta_.without_effect(name(key));
  }
  [[noreturn]] void unsupported(std::string_view key, std::string expected) const {
    meta_.fail(name(key), std::move(expected), gguf::short_text(*meta_.find(name(key))));
  }

 private:
  const gguf::Model& model_;
  const gguf::Metadata& meta_;
  std::string prefix_;
};

// What is the same under other names in every config.
struct Sizes {
  std::int64_t layers, hidden, heads, kv_heads, head_dim, inner, context, vocab;
  bool tied;
  double eps;
};

const gguf::Info& matrix_of(const GgufKeys& k, std::string_view tensor) {
  const gguf::Model::Found found = k.model().find(tensor);
  if (!found || found.info->shape.size() != 2) {
    fail_load({.what = "tensor is missing, or no matrix",
               .where = fmt::format("{}: tensor {}", k.model().path().string(), quote(tensor)),
               .hint = "pkv inspect shows what the file holds"});
  }
  return *found.info;
}
std::int64_t rows_of(const GgufKeys& k, std::string_view tensor) { return matrix_of(k, tensor).shape[0]; }
std::int64_t columns_of(const GgufKeys& k, std::string_view tensor) { return matrix_of(k, tensor).shape[1]; }

Sizes read_sizes(const GgufKeys& k, bool layer_norm, bool mixed = false) {
  Sizes s{};
  s.layers = k.need("block_count", kMaxLayers);
  s.hidden = k.need("embedding_length", kMaxWidth);
  s.heads = k.by_layer("attention.head_count", s.layers).value_or(0);
  if (s.heads == 0) k.need("attention.head_count", kMaxWidth);
  s.kv_heads = (mixed ? k.most_of_layers("attention.head_count_kv") : k.by_layer("attention.head_count_kv", s.layers))
                   .value_or(s.heads);
  // Some converters write four times the hidden size, whatever it is.
  s.inner = columns_of(k, "blk.0.ffn_down.weight");
  k.without_effect({"feed_forward_length"});
  s.context = k.need("context_length", kMaxTokens);
  // Where a matrix says what a key leaves out, or a converter wrote what all models of its time had, the matrix holds.
  const bool apart = k.has_tensor("blk.0.attn_q.weight") && k.has_tensor("blk.0.attn_k.weight");
  const std::int64_t size = (apart ? rows_of(k, "blk.0.attn_q.weight") : s.hidden) / s.heads;
  s.head_dim = k.integer("attention.key_length", 1, kMaxWidth).value_or(size);
  if (s.head_dim < 1) k.unsupported("attention.head_count", fmt::format("at most {}", s.hidden));
  // Rows are counted before anything of their number is made.
  if (apart && s.heads * s.head_dim != rows_of(k, "blk.0.attn_q.weight")) {
    k.unsupported("attention.head_count", fmt::format("{} heads of {} elements: the rows of blk.0.attn_q.weight",
                                                      rows_of(k, "blk.0.attn_q.weight") / s.head_dim, s.head_dim));
  }
  if (!apart && s.heads * s.head_dim > kMostRows) {
    k.unsupported("attention.head_count", fmt::format("at most {} elements in all heads", kMostRows));
  }
  if (apart) s.kv_heads = std::max<std::int64_t>(1, rows_of(k, "blk.0.attn_k.weight") / s.head_dim);
  const std::int64_t values = k.integer("attention.value_length", 1, kMaxWidth).value_or(s.head_dim);
  if (values != s.head_dim) k.unsupported("attention.value_length", fmt::format("{}, as key_length", s.head_dim));
  s.vocab = rows_of(k, "token_embd.weight");
  s.tied = !k.has_tensor("output.weight");
  s.eps = k.need_number(layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon");
  k.without_effect({"vocab_size", "attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"});
  if (k.integer("expert_count", 0, kMaxWidth).value_or(0) > 0) {
    k.unsupported("expert_count", "0: mixtures of experts are not implemented");
  }
  return s;
}

std::vector<float> factors_of(const GgufKeys& k, std::string_view tensor, std::int64_t count) {
  const gguf::Model::Found found = k.model().find(tensor);
  const std::string place = fmt::format("{}: tensor {}", k.model().path().string(), quote(tensor));
  const std::vector<std::int64_t> shape{count};
  if (found.info->type->name != "F32" || found.info->shape != shape) {
    fail_load({.what = "factors of the rotation have another form",
               .where = place,
               .expected = fmt::format("F32 [{}]", count),
               .found = fmt::format("{} {}", found.info->type->name, shape_text(found.info->shape))});
  }
  std::vector<float> factors(static_cast<std::size_t>(count));
  std::memcpy(factors.data(), found.data().data(), factors.size() * sizeof(float));
  for (const float x : factors) {
    if (std::isfinite(x) && x > 0) continue;
    fail_load(
        {.what = "a factor of the rotation is no positive number", .where = place, .found = fmt::format("{}", x)});
  }
  return factors;
}

Json::Array written(const std::vector<float>& numbers) {
  Json::Array all;
  for (const float x : numbers) all.emplace_back(as_written(static_cast<double>(x)));
  return all;
}

// Llama 3's rule by which the converter made the factors: what a config says of it.
struct LongWaves {
  double factor, low, high, context;

  // The factor of each pair, in the fp32 arithmetic of the converter but for its last bits.
  bool made(const std::vector<float>& factors, double theta) const {
    const auto pairs = static_cast<double>(factors.size());
    for (std::size_t i = 0; i < factors.size(); ++i) {
      const double wave = 2 * std::numbers::pi * std::pow(theta, static_cast<double>(i) / pairs);
      const double smooth = (context / wave - low) / (high - low);
      const double mixed = 1 / ((1 - smooth) / factor + smooth);
      const double x = wave < context / high ? 1 : wave > context / low ? factor : mixed;
      constexpr double kRounding = 1e-5;  // of some ten operations in fp32, a power among them
      if (!(std::abs(x - static_cast<double>(factors[i])) <= kRounding * x)) return false;
    }
    return true;
  }
};

// The rule's numbers from the factors: the largest is `factor`, and those between it and 1 lie on a line over the
// frequency. A multiple of low, high and context says the same: low is taken to be 1.
std::optional<LongWaves> find_rule(const std::vector<float>& factors, double theta) {
  const double factor = static_cast<double>(*std::ranges::max_element(factors));
  if (factor <= 1) return std::nullopt;
  const auto try_context = [&](double low, double high, double context) -> std::optional<LongWaves> {
    const LongWaves rule{.factor = factor, .low = low, .high = high, .context = context};
    if (high > low && context >= 1 && rule.made(factors, theta)) return rule;
    return std::nullopt;
  };
  // What models have first: where few pairs lie between, more than one rule makes the same factors.
  for (double context = 8192; context >= 16; context /= 2) {
    if (const auto rule = try_context(1, 4, context)) return rule;
  }
  std::vector<std::pair<double, double>> points;  // 1 / wave, smooth
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const auto f = static_cast<double>(factors[i]);
    if (f <= 1 || f >= factor) continue;
    const double wave =
        2 * std::numbers::pi * std::pow(theta, static_cast<double>(i) / static_cast<double>(factors.size()));
    points.emplace_back(1 / wave, (1 / f - 1 / factor) / (1 - 1 / factor));
  }
  if (points.size() < 2) return std::nullopt;
  const auto [x0, y0] = points.front();
  const auto [x1, y1] = points.back();
  const double slope = (y1 - y0) / (x1 - x0), start = y0 - slope * x0;  // context / (high - low), -low / (high - low)
  if (!(start < 0) || !(slope > 0)) return std::nullopt;
  const double high = 1 - 1 / start, context = slope * (high - 1);
  constexpr double kSteps = 4;
  for (const double low : {1., 2., 1.5, 0.5, 3., 4.}) {
    const double round_high = std::round(low * high * kSteps) / kSteps;
    if (const auto rule = try_context(low, round_high, std::round(low * context))) return rule;
  }
  return std::nullopt;
}

Json::Object factors_by_rule(const GgufKeys& k, std::int64_t pairs, double theta, std::int64_t context,
                             std::vector<std::string>& notes) {
  const std::vector<float> factors = factors_of(k, "rope_freqs.weight", pairs);
  if (const auto rule = find_rule(factors, theta)) {
    return {{"rope_type", "llama3"},
            {"factor", rule->factor},
            {"low_freq_factor", rule->low},
            {"high_freq_factor", rule->high},
            {"original_max_position_embeddings", static_cast<std::int64_t>(rule->context)}};
  }
  notes.push_back("rope_freqs.weight follows no rule that a config could say: its factors are used as they are");
  return {{"rope_type", "longrope"},
          {"short_factor", written(factors)},
          {"long_factor", written(factors)},
          {"attention_factor", 1.0},
          {"original_max_position_embeddings", context}};
}

Json::Object yarn(const GgufKeys& k, const Row& row) {
  const auto factor = k.number("rope.scaling.factor");
  const auto original = k.integer("rope.scaling.original_context_length", 1, kMaxTokens);
  Json::Object rope{{"rope_type", "yarn"}};
  if (factor) rope["factor"] = *factor;
  if (original) rope["original_max_position_embeddings"] = *original;
  const auto copy = [&](std::string_view key, const char* name) {
    if (const auto x = k.number(key)) rope[name] = *x;
  };
  copy("rope.scaling.yarn_beta_fast", "beta_fast");
  copy("rope.scaling.yarn_beta_slow", "beta_slow");
  copy("rope.scaling.yarn_attn_factor", "attention_factor");
  copy("rope.scaling.attn_factor", "attention_factor");
  if (const auto all = k.number("rope.scaling.yarn_log_multiplier"); all && row.turn.temperature) {
    rope["mscale_all_dim"] = *all;
    rope["mscale"] = *all;
  }
  if (row.turn.temperature) rope["llama_4_scaling_beta"] = k.need_number("attention.temperature_scale");
  if (k.number("rope.scaling.yarn_ext_factor").value_or(1) != 1) k.unsupported("rope.scaling.yarn_ext_factor", "1");
  return rope;
}

// What a config calls rope_scaling; empty: none.
Json::Object read_scaling(const GgufKeys& k, const Row& row, const Sizes& s, std::int64_t turned, double theta,
                          std::vector<std::string>& notes) {
  const std::string type(k.text("rope.scaling.type").value_or("linear"));
  const std::int64_t pairs = turned / 2;
  if (k.has_tensor("rope_freqs.weight")) return factors_by_rule(k, pairs, theta, s.context, notes);
  if (k.has_tensor("rope_factors_long.weight") && k.has_tensor("rope_factors_short.weight")) {
    Json::Object rope{{"rope_type", "longrope"},
                      {"short_factor", written(factors_of(k, "rope_factors_short.weight", pairs))},
                      {"long_factor", written(factors_of(k, "rope_factors_long.weight", pairs))}};
    if (const auto original = k.integer("rope.scaling.original_context_length", 1, kMaxTokens)) {
      rope["original_max_position_embeddings"] = *original;
    }
    if (const auto factor = k.number("rope.scaling.attn_factor")) rope["attention_factor"] = *factor;
    return rope;
  }
  if (type == "yarn") return yarn(k, row);
  if (type == "none" || type == "longrope") {
    k.without_effect({"rope.scaling.factor", "rope.scaling.original_context_length"});
    return {};
  }
  if (type != "linear") k.unsupported("rope.scaling.type", "none, linear, yarn or longrope");
  const auto old = k.number("rope.scale_linear"), factor = k.number("rope.scaling.factor");
  k.without_effect({"rope.scaling.original_context_length"});
  const double by = factor.value_or(old.value_or(1));
  if (by == 1 || by == 0) return {};
  return {{"rope_type", "linear"}, {"factor", by}};
}

// The part of a head that turns, as a number that gives `turned` again.
double part_of(std::int64_t turned, std::int64_t head_dim) {
  const auto whole = static_cast<double>(head_dim);
  double part = static_cast<double>(turned) / whole;
  while (static_cast<std::int64_t>(whole * part) < turned) part = std::nextafter(part, 2.);
  return part;
}

void read_turning(Json::Object& c, const GgufKeys& k, const Row& row, const Sizes& s, std::vector<std::string>& notes) {
  if (row.turn.by != Positions::rotary) {
    k.without_effect({"rope.dimension_count", "rope.freq_base"});
    return;
  }
  const double theta = k.number("rope.freq_base").value_or(10000);
  const auto key = [](std::string_view own, std::string_view usual) { return std::string(own.empty() ? usual : own); };
  c[key(row.turn.theta_key, "rope_theta")] = theta;
  const std::int64_t turned = k.integer("rope.dimension_count", 1, s.head_dim).value_or(s.head_dim);
  if (row.turn.partial > 0) {
    c[key(row.turn.partial_key, "partial_rotary_factor")] = part_of(turned, s.head_dim);
  } else if (turned != s.head_dim) {
    k.unsupported("rope.dimension_count", fmt::format("{}: heads of this architecture turn as a whole", s.head_dim));
  }
  if (row.turn.local_theta > 0) {
    // What llama.cpp takes where the file does not say: of Gemma 3 the base that all files have, else that of all.
    const double local = row.norm.form.one_more ? row.turn.local_theta : theta;
    c["rope_local_base_freq"] = k.number("rope.freq_base_swa").value_or(local);
  } else {
    k.without_effect({"rope.freq_base_swa"});
  }
  if (Json::Object rope = read_scaling(k, row, s, turned, theta, notes); !rope.empty()) {
    if (row.turn.temperature) rope["rope_theta"] = theta;
    c[row.turn.temperature ? "rope_parameters" : "rope_scaling"] = std::move(rope);
  }
}

// Which layers see a window: as an array says, or all but each so many.
void read_windows(Json::Object& c, const GgufKeys& k, const Row& row, const GgufFamily& family, const Sizes& s) {
  const Layers which = row.layers.which;
  const std::int64_t window = k.integer("attention.sliding_window", 0, kMaxTokens).value_or(0);
  const gguf::Value* pattern = k.model().metadata().find(k.name("attention.sliding_window_pattern"));
  k.without_effect({"attention.sliding_window_pattern"});
  if (which == Layers::full || which == Layers::late_windows || which == Layers::some_unturned) return;
  c["sliding_window"] = window > 0 ? Json(window) : Json();
  if (which == Layers::windows) return;
  std::int64_t each = family.full_each > 0 ? family.full_each : row.layers.full_each;
  std::vector<std::int64_t> listed;
  if (pattern != nullptr && pattern->array) {
    listed = k.integers("attention.sliding_window_pattern", 0, 1);
    if (std::ssize(listed) < s.layers)
      k.unsupported("attention.sliding_window_pattern", fmt::format("{} flags", s.layers));
  } else if (pattern != nullptr) {
    each = *k.integer("attention.sliding_window_pattern", 0, kMaxLayers);
  }
  Json::Array types;
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const bool sees = !listed.empty() ? listed[static_cast<std::size_t>(i)] == 1 : each != 0 && i % each < each - 1;
    types.emplace_back(sees && window > 0 ? "sliding_attention" : "full_attention");
  }
  c["layer_types"] = std::move(types);
}

// Layers with short convolutions in place of attention are those without keys.
void read_convolutions(Json::Object& c, const GgufKeys& k, const Sizes& s) {
  const std::vector<std::int64_t> heads = k.integers("attention.head_count_kv", 0, kMaxWidth);
  if (std::ssize(heads) != s.layers) {
    if (!k.has("attention.head_count_kv")) k.need("attention.head_count_kv", kMaxWidth);
    k.unsupported("attention.head_count_kv", fmt::format("a list of {}, 0 for each convolution", s.layers));
  }
  Json::Array types;
  for (const std::int64_t n : heads) types.emplace_back(n == 0 ? "conv" : "full_attention");
  c["layer_types"] = std::move(types);
  c["conv_L_cache"] = k.need("shortconv.l_cache", kMaxWidth);
  c["conv_bias"] = k.has_tensor("blk.0.shortconv.conv.bias");
  c["block_auto_adjust_ff_dim"] = false;
}

void read_gguf_scales(Json::Object& c, const GgufKeys& k, const Row& row, const Sizes& s) {
  const auto copy = [&](std::string_view key, const char* name) {
    if (const auto x = k.number(key)) c[name] = *x;
  };
  if (row.scales.query_scalar > 0) {
    // The 27B models of Gemma 2 and 3, told by their layers as llama.cpp tells them.
    const bool largest = s.layers == (row.scales.score_cap ? 46 : 62);
    c["query_pre_attn_scalar"] = largest ? s.hidden / s.heads : s.head_dim;
  }
  if (row.scales.score_cap) copy("attn_logit_softcapping", "attn_logit_softcapping");
  if (row.scales.logit_cap) copy("final_logit_softcapping", "final_logit_softcapping");
  if (row.scales.logit_scale > 0) copy("logit_scale", "logit_scale");
  if (row.scales.clip) copy("attention.clamp_kqv", "clip_qkv");
  if (!row.scales.multipliers) return;
  copy("embedding_scale", "embedding_multiplier");
  copy("residual_scale", "residual_multiplier");
  copy("logit_scale", "logits_scaling");
  c["attention_multiplier"] = k.number("attention.scale").value_or(1 / std::sqrt(static_cast<double>(s.head_dim)));
}

void set_flag(Json::Object& c, const arch::Flag& flag, bool value) {
  if (!flag.key.empty()) c[std::string(flag.key)] = value;
}

// Of a model whose family is a row of the decoder's.
Json::Object decoder_config(const GgufKeys& k, const GgufFamily& family, const Row& row,
                            std::vector<std::string>& notes) {
  const bool convolves = row.mixer.which == arch::Mixer::convolution;
  const Sizes s = read_sizes(k, row.norm.form.centred, convolves);
  const bool is_parallel = row.parallel.one_norm ? !k.has_tensor("blk.0.ffn_norm.weight")
                                                 : k.flag("use_parallel_residual").value_or(row.parallel.is.absent);
  k.without_effect({"use_parallel_residual"});
  const bool fused = !row.names.qkv.empty();
  const std::string qkv = k.has_tensor("blk.0.attn_qkv.weight") ? "attn_qkv" : "attn_q";
  if (fused && qkv == "attn_q") rows_of(k, "blk.0.attn_qkv.weight");
  Json::Object c{{"vocab_size", s.vocab},
                 {"hidden_size", s.hidden},
                 {"num_hidden_layers", s.layers},
                 {"num_attention_heads", s.heads},
                 {"num_key_value_heads", s.kv_heads},
                 {"head_dim", s.head_dim},
                 {"intermediate_size", s.inner},
                 {"max_position_embeddings", s.context},
                 {"tie_word_embeddings", s.tied}};
  if (!row.norm.eps.empty()) c[std::string(row.norm.eps)] = s.eps;
  set_flag(c, row.biases.qkv, k.has_tensor(fmt::format("blk.0.{}.bias", qkv)));
  set_flag(c, row.biases.out, k.has_tensor("blk.0.attn_output.bias"));
  set_flag(c, row.biases.mlp, k.has_tensor("blk.0.ffn_down.bias"));
  set_flag(c, row.biases.head, k.has_tensor("output.bias"));
  set_flag(c, row.parallel.is, is_parallel);
  set_flag(c, {.key = row.heads.key}, k.has_tensor("blk.0.attn_q_norm.weight"));
  if (!row.fused.multi_query.empty()) c[std::string(row.fused.multi_query)] = s.kv_heads == 1;
  read_turning(c, k, row, s, notes);
  read_windows(c, k, row, family, s);
  if (convolves) read_convolutions(c, k, s);
  read_gguf_scales(c, k, row, s);
  return c;
}

Json::Object gpt2_config(const GgufKeys& k) {
  const Sizes s = read_sizes(k, true);
  return {{"vocab_size", s.vocab},       {"n_positions", s.context},
          {"n_embd", s.hidden},          {"n_layer", s.layers},
          {"n_head", s.heads},           {"n_inner", s.inner},
          {"layer_norm_epsilon", s.eps}, {"tie_word_embeddings", s.tied}};
}

Json::Object falcon_config(const GgufKeys& k) {
  const Sizes s = read_sizes(k, true);
  const bool grouped = s.kv_heads > 1, two_norms = k.has_tensor("blk.0.attn_norm_2.weight");
  k.without_effect({"tensor_data_layout"});
  if (k.has_tensor("blk.0.attn_qkv.bias")) {
    fail_load({.what = "a Falcon with biases has ALiBi, of which a GGUF file does not speak",
               .where = k.model().path().string(),
               .found = "blk.0.attn_qkv.bias",
               .hint = "the folder that it was made of"});
  }
  return {{"vocab_size", s.vocab},
          {"hidden_size", s.hidden},
          {"num_hidden_layers", s.layers},
          {"num_attention_heads", s.heads},
          {"num_kv_heads", s.kv_heads},
          {"ffn_hidden_size", s.inner},
          {"max_position_embeddings", s.context},
          {"layer_norm_epsilon", s.eps},
          {"tie_word_embeddings", s.tied},
          {"new_decoder_architecture", grouped || two_norms},
          {"multi_query", !grouped},
          {"num_ln_in_parallel_attn", two_norms ? 2 : 1},
          {"parallel_attn", true},
          {"bias", false},
          {"alibi", false},
          {"rope_theta", k.number("rope.freq_base").value_or(10000)}};
}

Json::Object mpt_config(const GgufKeys& k) {
  const Sizes s = read_sizes(k, true);
  if (k.has_tensor("position_embd.weight")) {
    fail_load({.what = "learned positions are not implemented for MPT",
               .where = fmt::format("{}: tensor 'position_embd.weight'", k.model().path().string())});
  }
  const double most = k.number("attention.max_alibi_bias").value_or(0);
  if (most <= 0) k.unsupported("attention.max_alibi_bias", "a positive number");
  if (s.inner % s.hidden != 0) k.unsupported("feed_forward_length", fmt::format("a multiple of {}", s.hidden));
  if (s.kv_heads != s.heads) k.unsupported("attention.head_count_kv", fmt::format("{}", s.heads));
  const auto clip = k.number("attention.clamp_kqv");
  return {{"vocab_size", s.vocab},
          {"max_seq_len", s.context},
          {"d_model", s.hidden},
          {"n_layers", s.layers},
          {"n_heads", s.heads},
          {"expansion_ratio", s.inner / s.hidden},
          {"layer_norm_epsilon", s.eps},
          {"no_bias", !k.has_tensor("blk.0.attn_qkv.bias")},
          {"tie_word_embeddings", s.tied},
          {"attn_config", Json::Object{{"alibi", true},
                                       {"alibi_bias_max", as_written(most)},
                                       {"clip_qkv", clip && *clip > 0 ? Json(*clip) : Json()}}}};
}

}  // namespace

double as_written(double number) {
  const auto narrow = static_cast<float>(number);
  if (static_cast<double>(narrow) != number) return number;
  return std::strtod(fmt::format("{}", narrow).c_str(), nullptr);
}

Json gguf_config(const GgufFamily& family, const gguf::Model& model, std::vector<std::string>& notes) {
  const GgufKeys k(family, model);
  GgufFamily chosen = family;
  if (!family.windowed.empty() && k.integer("attention.sliding_window", 0, kMaxTokens).value_or(0) > 0) {
    chosen.model_type = family.windowed;
  }
  const Row* row = chosen.row();
  Json::Object c = row != nullptr                  ? decoder_config(k, chosen, *row, notes)
                   : chosen.model_type == "gpt2"   ? gpt2_config(k)
                   : chosen.model_type == "falcon" ? falcon_config(k)
                                                   : mpt_config(k);
  c["model_type"] = std::string(chosen.model_type);
  return c;
}

namespace {

// Control tokens at which a text ends whatever else the file says: with these names llama.cpp, too, stops there.
constexpr auto kEnds = std::to_array<std::string_view>({"<|eot_id|>",
                                                        "<|im_end|>",
                                                        "<|end|>",
                                                        "<|return|>",
                                                        "<|call|>",
                                                        "<|flush|>",
                                                        "<|calls|>",
                                                        "<end_of_turn>",
                                                        "<|endoftext|>",
                                                        "</s>",
                                                        "<|eom_id|>",
                                                        "<EOT>",
                                                        "_<EOT>",
                                                        "[EOT]",
                                                        "[EOS]",
                                                        "<|end_of_text|>",
                                                        "<end_of_utterance>",
                                                        "<eos>",
                                                        "<turn|>",
                                                        "<|tool_response>",
                                                        "<｜end▁of▁sentence｜>",
                                                        "[e~["});

void add_ends_by_name(const gguf::Metadata& m, std::set<std::int64_t>& ends) {
  constexpr std::string_view kTokens = "tokenizer.ggml.tokens", kTypes = "tokenizer.ggml.token_type";
  constexpr std::int64_t kControl = 3;
  const gguf::Value* types = m.find(kTypes);
  if (types == nullptr || types->type == gguf::ValueType::text || !m.has(kTokens)) return;
  const std::vector<std::string_view> tokens = m.texts(kTokens);
  const std::vector<std::int64_t> kinds = m.integers(kTypes, INT64_MIN, INT64_MAX);
  std::set<std::int64_t> named;
  bool answers = false;  // of a model for which <|end|> is the end of a part alone
  std::int64_t part = -1;
  for (std::size_t i = 0; i < std::min(tokens.size(), kinds.size()); ++i) {
    if (kinds[i] != kControl || std::ranges::find(kEnds, tokens[i]) == kEnds.end()) continue;
    const auto id = static_cast<std::int64_t>(i);
    named.insert(id);
    answers |= tokens[i] == "<|return|>" || tokens[i] == "<|flush|>";
    if (tokens[i] == "<|end|>") part = id;
  }
  if (answers) named.erase(part);
  ends.merge(named);
}

}  // namespace

Json gguf_generation_config(const gguf::Model& model) {
  const gguf::Metadata& m = model.metadata();
  Json::Object g;
  std::set<std::int64_t> ends;
  add_ends_by_name(m, ends);
  for (const char* key : {"eos", "eot", "eom"}) {
    const auto id = m.integer(fmt::format("tokenizer.ggml.{}_token_id", key), -1, UINT32_MAX);
    if (id && *id >= 0 && *id <= INT32_MAX) ends.insert(*id);
  }
  if (!ends.empty()) g["eos_token_id"] = Json::Array(ends.begin(), ends.end());
  const auto copy = [&](std::string_view key, const char* name) {
    if (const auto x = m.number(key)) g[name] = as_written(*x);
  };
  copy("general.sampling.temp", "temperature");
  copy("general.sampling.top_p", "top_p");
  copy("general.sampling.min_p", "min_p");
  if (const auto k = m.integer("general.sampling.top_k", 0, INT32_MAX)) g["top_k"] = *k;
  if (g.empty()) return {};
  return g;
}

}  // namespace pkv::model
