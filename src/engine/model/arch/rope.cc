#include "engine/model/arch/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "base/json.h"

namespace pkv::model::arch {
namespace {

constexpr std::int64_t kMostTokens = 1 << 30;

double positive(const hf::Config& rope, std::string_view key, std::optional<double> absent = {}) {
  const double value = absent ? rope.number_or_none({key}).value_or(*absent) : rope.number({key});
  if (!(value > 0)) rope.unsupported(key, "a positive number");
  return value;
}

// Pair i of a rotation of `dim` elements turns by theta^(-2i/dim) at each position.
std::vector<double> plain(double theta, std::int64_t dim) {
  std::vector<double> f;
  for (std::int64_t i = 0; i < dim; i += 2)
    f.push_back(std::pow(theta, -static_cast<double>(i) / static_cast<double>(dim)));
  return f;
}

// Llama 3.1: long waves are stretched, short ones stay, those between are mixed.
void stretch_long_waves(std::vector<double>& f, const hf::Config& rope, std::int64_t original_context) {
  const double factor = positive(rope, "factor"), low = positive(rope, "low_freq_factor");
  const double high = positive(rope, "high_freq_factor");
  if (!(high > low)) rope.unsupported("high_freq_factor", "more than low_freq_factor");
  const auto original = static_cast<double>(original_context);
  for (double& x : f) {
    const double wave = 2 * std::numbers::pi / x;
    if (wave < original / high) continue;
    const double smooth = wave > original / low ? 0 : (original / wave - low) / (high - low);
    x = (1 - smooth) * x / factor + smooth * x;
  }
}

// YaRN (Peng et al. 2023, arXiv:2309.00071): frequencies are mixed by how often they turn within the original context.
// Gives the factor on cosines and sines.
double mix_by_turns(std::vector<double>& f, const hf::Config& rope, double theta, std::int64_t dim,
                    std::int64_t original_context, std::int64_t context) {
  const auto original = static_cast<double>(original_context);
  const double factor = positive(rope, "factor", static_cast<double>(context) / original);
  const auto scale_of = [](double by, double m) { return by <= 1 ? 1 : 0.1 * m * std::log(by) + 1; };
  const double mscale = rope.number_or_none({"mscale"}).value_or(0);
  const double all_dim = rope.number_or_none({"mscale_all_dim"}).value_or(0);
  const bool both = mscale != 0 && all_dim != 0;
  const double implied = both ? scale_of(factor, mscale) / scale_of(factor, all_dim) : scale_of(factor, 1);
  const double attention = rope.number_or_none({"attention_factor"}).value_or(implied);
  const auto or_default = [&](std::string_view key, double absent) {
    const double value = rope.number_or_none({key}).value_or(absent);
    return value == 0 ? absent : value;
  };
  const auto turning = [&](double turns) {
    return static_cast<double>(dim) * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  double low = turning(or_default("beta_fast", 32)), high = turning(or_default("beta_slow", 1));
  if (rope.flag_or({"truncate"}, true)) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.), high = std::min(high, static_cast<double>(dim - 1));
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < f.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0., 1.);
    f[i] = f[i] / factor * ramp + f[i] * (1 - ramp);
  }
  return attention;
}

// transformers takes the config's own key, or its class's default for it, before that of the rope's object; but not
// where each kind of layer has an object.
std::int64_t original_context(const hf::Config& config, const hf::Config& rope, const RopeShape& shape) {
  constexpr const char* kKey = "original_max_position_embeddings";
  if (!shape.by_kind && config.has(kKey)) return config.integer({kKey}, 1, kMostTokens);
  if (shape.original > 0) return shape.original;
  return rope.integer_or_none({kKey}, 1, kMostTokens).value_or(shape.context);
}

// LongRoPE (Ding et al. 2024, arXiv:2402.13753): each pair is slowed by a number of its own, one for texts up to the
// original context and another for longer ones. transformers chooses by the length of each call, so that a past can be
// turned by the one and the next token by the other; here the choice is made once, for all texts.
void slow_each(std::vector<double>& f, const hf::Config& rope, std::int64_t original, std::int64_t context,
               std::optional<std::int64_t> declared, bool own_factor, Rope& found) {
  // With factors of their own, transformers 5.24 takes in long texts the long factor and the short frequencies, and the
  // family's authors the long ones: long texts are not computed.
  found.for_long_texts = !own_factor && declared.value_or(0) > original;
  found.declarable = !own_factor && !found.for_long_texts;
  if (!found.for_long_texts) found.most_tokens = original;
  if (found.for_long_texts) found.short_texts = original;
  const std::vector<double> even = f;
  for (const char* key : {"short_factor", "long_factor"}) {
    const Json* list = rope.value({key});
    const bool used = (std::string_view(key) == "long_factor") == found.for_long_texts;
    if (list == nullptr || !list->is_array() || list->size() != f.size()) {
      rope.unsupported(key, std::to_string(f.size()) + " numbers");
    }
    for (std::size_t i = 0; i < f.size(); ++i) {
      const Json& x = list->elements()[i];
      if (!x.is_number() || !(x.number() > 0)) rope.unsupported(key, "positive numbers");
      if (used) f[i] /= x.number();
      if (!used && found.for_long_texts) found.short_frequencies.push_back(static_cast<float>(even[i] / x.number()));
    }
  }
  const auto length = static_cast<double>(original);
  const double factor = positive(rope, "factor", static_cast<double>(context) / length);
  const double implied = factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(length));
  found.rotation.factor =
      static_cast<float>(own_factor ? positive(rope, "short_mscale") : positive(rope, "attention_factor", implied));
  if (own_factor) rope.without_effect({"long_mscale", "attention_factor"});
}

// `rope` says how, `theta` by which base where it says none.
Rope read(const hf::Config& config, const hf::Config& rope, const RopeShape& shape, double theta) {
  Rope found;
  found.theta = rope.number_or_none({"rope_theta"}).value_or(theta);
  if (!(found.theta > 0)) rope.unsupported("rope_theta", "a positive number");
  const std::string_view part_key = shape.partial_key.empty() ? "partial_rotary_factor" : shape.partial_key;
  const double top = config.number_or_none({part_key}).value_or(shape.partial);
  const auto refuse_part = [&](std::string_view expected) {
    const bool inside = rope.has("partial_rotary_factor");
    (inside ? rope : config).unsupported(inside ? "partial_rotary_factor" : part_key, expected);
  };
  const double part = rope.number_or_none({"partial_rotary_factor"}).value_or(top);
  if (!shape.may_be_partial && part != 1) {
    refuse_part("1, for this family");
  }
  if (!(part > 0 && part <= 1)) refuse_part("more than 0, at most 1");
  const std::int64_t dim =
      shape.dim > 0 ? shape.dim : static_cast<std::int64_t>(static_cast<double>(shape.head_dim) * part);
  const std::string type = rope.text_or({"rope_type", "type"}, "default");
  const bool whole_pairs = type == "yarn" || type == "longrope" || type == "su";
  if (dim < 2 || dim + dim % 2 > shape.head_dim || (whole_pairs && dim % 2 != 0)) {
    config.unsupported(config.has("head_dim") ? "head_dim" : "hidden_size",
                       "heads of which an even number of elements turn, for rotary positions");
  }
  std::vector<double> f = plain(found.theta, dim);
  const bool longrope = type == "longrope" || type == "su" || (type == "yarn" && rope.has("short_factor"));
  if (shape.own_factor && !longrope && type != "default") {
    rope.unsupported(rope.has("rope_type") ? "rope_type" : "type", "\"default\" or \"longrope\", for this family");
  }
  if (type == "linear") {
    const double factor = positive(rope, "factor");
    for (double& x : f) x /= factor;
  } else if (type == "llama3") {
    stretch_long_waves(f, rope, original_context(config, rope, shape));
  } else if (longrope) {
    slow_each(f, rope, original_context(config, rope, shape), shape.context, shape.declared, shape.own_factor, found);
  } else if (type == "yarn") {
    const std::int64_t original = original_context(config, rope, shape);
    found.rotation.factor = static_cast<float>(mix_by_turns(f, rope, found.theta, dim, original, shape.context));
  } else if (type == "dynamic") {
    const std::optional<double> alpha = rope.number_or_none({"alpha"});
    const double exponent = static_cast<double>(dim) / static_cast<double>(std::max<std::int64_t>(dim - 2, 1));
    if (alpha && *alpha != 0) {
      f = plain(found.theta * std::pow(*alpha, exponent), dim);
      rope.without_effect({"factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"});
    } else if (positive(rope, "factor") != 1) {
      found.most_tokens = shape.context;
    }
  } else if (type != "default") {
    rope.unsupported(rope.has("rope_type") ? "rope_type" : "type",
                     "\"default\", \"linear\", \"dynamic\", \"yarn\", \"longrope\" or \"llama3\"");
  }
  config.without_effect({"original_max_position_embeddings"});
  rope.without_effect({"original_max_position_embeddings"});
  if (shape.temperature) {
    const double beta = rope.number({"llama_4_scaling_beta"});
    found.temperature = {.beta = beta, .step = rope.integer({"original_max_position_embeddings"}, 1, kMostTokens)};
    rope.without_effect({"max_position_embeddings"});
  }
  found.rotation.frequencies.assign(f.begin(), f.end());
  found.rotation.neighbours = shape.neighbours;
  return found;
}

}  // namespace

Rope read_rope(const hf::Config& config, const RopeShape& shape) {
  const bool old = config.has("rope_scaling");
  const std::string_view theta_key = shape.theta_key.empty() ? "rope_theta" : shape.theta_key;
  const double theta = config.number_or_none({theta_key}).value_or(shape.theta);
  config.without_effect({"rope_scaling"});
  if (!old && !config.has("rope_parameters") && !shape.absent.empty()) {
    const hf::Config rope = hf::Config::parse(shape.absent, config.file());
    return read(config, rope, shape, theta);
  }
  const hf::Config& rope = config.child(old ? "rope_scaling" : "rope_parameters");
  if (!rope.has("full_attention")) return read(config, rope, shape, theta);
  RopeShape of_kind = shape;
  of_kind.by_kind = true;
  return read(config, rope.child("full_attention"), of_kind, theta);
}

Rope read_local_rope(const hf::Config& config, const RopeShape& shape, double theta) {
  const hf::Config& rope = config.child("rope_parameters").child("sliding_attention");
  RopeShape of_kind = shape;
  of_kind.by_kind = true;
  return read(config, rope, of_kind, config.number_or_none({"rope_local_base_freq"}).value_or(theta));
}

}  // namespace pkv::model::arch
