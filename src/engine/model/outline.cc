#include "engine/model/outline.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace pkv::model {
namespace {

using Keys = std::initializer_list<std::string_view>;

constexpr std::int64_t kMost = std::int64_t{1} << 32;  // so that products of a few stay numbers

bool is_count(const Json& value) { return value.is_integer() && value.fits(0, kMost); }

const Json* first_of(const Json& config, Keys keys) {
  for (const std::string_view key : keys) {
    if (const Json* found = config.find(key); found != nullptr && !found->is_null()) return found;
  }
  return nullptr;
}

std::optional<std::int64_t> count(const Json& config, Keys keys) {
  const Json* found = first_of(config, keys);
  if (found == nullptr || !is_count(*found)) return std::nullopt;
  return found->integer();
}

std::optional<bool> flag(const Json& config, std::string_view key) {
  const Json* found = config.find(key);
  if (found == nullptr || !found->is_flag()) return std::nullopt;
  return found->flag();
}

std::string text(const Json& config, Keys keys) {
  const Json* found = first_of(config, keys);
  return found != nullptr && found->is_text() ? found->text() : "";
}

const Json& language_model(const Json& config) {
  for (const std::string_view key : {"text_config", "llm_config", "language_config", "decoder"}) {
    if (const Json* inner = config.find(key); inner != nullptr && inner->is_object() && !inner->empty()) return *inner;
  }
  return config;
}

// Heads of keys and values in each layer: a number for all, or a list.
std::vector<std::int64_t> kv_heads_of(const Json& config, std::int64_t layers, std::int64_t heads) {
  const Json* found = first_of(config, {"num_key_value_heads", "num_kv_heads", "n_head_kv", "num_query_groups",
                                        "multi_query_group_num", "kv_n_heads"});
  const auto all = [&](std::int64_t n) { return std::vector<std::int64_t>(static_cast<std::size_t>(layers), n); };
  const bool grouped = flag(config, "new_decoder_architecture").value_or(false);
  if (flag(config, "multi_query").value_or(false) && !grouped) return all(1);
  if (found == nullptr) {
    const Json* attention = config.find("attn_config");
    const auto nested = attention == nullptr ? std::nullopt : count(*attention, {"kv_n_heads"});
    return all(nested.value_or(heads));
  }
  if (is_count(*found)) return all(found->integer());
  std::vector<std::int64_t> each;
  if (!found->is_array()) return each;
  for (const Json& n : found->elements()) each.push_back(is_count(n) ? n.integer() : 0);
  if (std::ssize(each) != layers) each.clear();
  return each;
}

enum class Kept : std::uint8_t { all, window, nothing };

// What each layer keeps, of configs that say what each is.
std::vector<Kept> kinds_of(const Json& config, std::int64_t layers) {
  std::vector<Kept> kinds(static_cast<std::size_t>(layers), Kept::all);
  const Json* types = first_of(config, {"layer_types", "layers_block_type", "block_types", "_block_types"});
  const auto interval = count(config, {"full_attention_interval"});
  if (types == nullptr && interval.value_or(0) > 0) {
    for (std::int64_t i = 0; i < layers; ++i) {
      if ((i + 1) % *interval != 0) kinds[static_cast<std::size_t>(i)] = Kept::nothing;
    }
  }
  if (types != nullptr && types->is_array() && !types->empty()) {
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      const Json& type = types->elements()[i % types->size()];
      const std::string name = type.is_text() ? type.text() : "";
      const auto has = [&](std::string_view part) { return name.find(part) != name.npos; };
      const bool attends = (has("attention") && !has("linear")) || name == "hybrid";
      kinds[i] = !attends ? Kept::nothing : has("sliding") || has("chunked") ? Kept::window : Kept::all;
    }
  }
  const Json* which = first_of(config, {"attn_layer_indices", "full_attn_idxs", "hybrid_layer_ids"});
  if (which == nullptr && config.find("attn_layer_indices") != nullptr)
    std::ranges::fill(kinds, Kept::nothing);  // null
  if (which != nullptr && which->is_array()) {
    std::ranges::fill(kinds, Kept::nothing);
    for (const Json& i : which->elements()) {
      if (is_count(i) && i.integer() < layers) kinds[static_cast<std::size_t>(i.integer())] = Kept::all;
    }
  }
  const auto period = count(config, {"attn_layer_period"}), offset = count(config, {"attn_layer_offset"});
  if (period.value_or(0) > 0) {
    for (std::int64_t i = 0; i < layers; ++i) {
      if (i % *period != offset.value_or(0)) kinds[static_cast<std::size_t>(i)] = Kept::nothing;
    }
  }
  return kinds;
}

void read_past(const Json& config, Outline& o) {
  const std::string& type = o.model_type;
  const bool recurrent = type.find("mamba") != type.npos || type.starts_with("rwkv") || type == "xlstm";
  if (!o.layers || *o.layers > 1 << 16) {
    o.no_past = "the config does not say how many layers there are";
  } else if (recurrent &&
             first_of(config, {"num_key_value_heads", "attn_layer_indices", "hybrid_layer_ids"}) == nullptr) {
    o.no_past = "no keys and values: states of a fixed size";
  } else if (!o.heads) {
    o.no_past = "the config does not say how many heads of attention there are";
  } else if (!o.head_dim && !count(config, {"kv_lora_rank"})) {
    o.no_past = "the config does not say how large a head is";
  }
  if (!o.no_past.empty()) return;
  const std::vector<Kept> kinds = kinds_of(config, *o.layers);
  const std::vector<std::int64_t> kv_heads = kv_heads_of(config, *o.layers, *o.heads);
  if (kv_heads.size() != kinds.size()) {
    o.no_past = "the config's heads of keys and values are not one number for each layer";
    return;
  }
  const std::int64_t shared = std::min(*o.layers, count(config, {"num_kv_shared_layers"}).value_or(0));
  const auto value = count(config, {"v_head_dim"});
  const auto nope = count(config, {"qk_nope_head_dim"}), rope = count(config, {"qk_rope_head_dim"});
  const auto rank = count(config, {"kv_lora_rank"});
  const bool latent = rank && nope && rope && value;
  Outline::Past past;
  for (std::int64_t i = 0; i < *o.layers - shared; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (kinds[at] == Kept::nothing) continue;
    past.layers += 1;
    past.windowed += kinds[at] == Kept::window ? 1 : 0;
    past.values += latent ? *rank + *rope : kv_heads[at] * (*o.head_dim + value.value_or(*o.head_dim));
    if (latent) past.unfolded += *o.heads * (*nope + *rope + *value);
  }
  o.past = past;
}

}  // namespace

Outline outline_of(const hf::Config& whole) {
  const Json& all = whole.json();
  const Json& config = language_model(all);
  Outline o{.model_type = text(config, {"model_type"})};
  if (o.model_type.empty()) o.model_type = text(all, {"model_type"});
  o.layers = count(config, {"num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"});
  o.hidden = count(config, {"hidden_size", "n_embd", "d_model", "n_embed", "dim", "model_dim"});
  o.inner = count(config, {"intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "decoder_ffn_dim", "d_ff"});
  o.heads = count(
      config, {"num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "decoder_attention_heads"});
  o.head_dim = count(config, {"head_dim", "attention_head_size", "head_size", "kv_channels", "d_kv"});
  if (!o.head_dim && o.hidden && o.heads.value_or(0) > 0 && *o.hidden % *o.heads == 0)
    o.head_dim = *o.hidden / *o.heads;
  o.vocab = count(config, {"vocab_size", "padded_vocab_size"});
  o.context =
      count(config, {"max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length"});
  o.window = count(config, {"sliding_window", "attention_window_size", "sliding_window_size"});
  if (o.window == 0 || !flag(config, "use_sliding_window").value_or(true)) o.window.reset();
  o.tied = flag(config, "tie_word_embeddings");
  if (!o.tied) o.tied = flag(all, "tie_word_embeddings");
  for (const Json* json : {&config, &all}) {
    if (!o.dtype) o.dtype = from_torch_name(text(*json, {"dtype", "torch_dtype"}));
  }
  if (const Json* q = first_of(all, {"quantization_config"}); q != nullptr && q->is_object()) {
    o.quantised_by = text(*q, {"quant_method"});
  }
  if (o.layers && o.heads && *o.layers <= 1 << 16) {
    const auto each = kv_heads_of(config, *o.layers, *o.heads);
    if (!each.empty() && std::ranges::count(each, each[0]) == std::ssize(each)) o.kv_heads = each[0];
  }
  read_past(config, o);
  return o;
}

}  // namespace pkv::model
