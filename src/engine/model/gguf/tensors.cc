#include "engine/model/gguf/tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <numeric>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "engine/model/arch/decoder.h"

namespace pkv::model {
namespace {

using arch::TensorNames;
using Rows = std::vector<std::int64_t>;

// "blk.12.attn_q.weight": layer 12, "attn_q", ".weight"; of others the layer is -1.
struct Name {
  std::int64_t layer = -1;
  std::string_view part, end;
};

Name parse(std::string_view name) {
  Name n;
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return {.part = name};
  n.part = name.substr(0, dot);
  n.end = name.substr(dot);
  constexpr std::string_view kBlock = "blk.";
  if (!n.part.starts_with(kBlock)) return n;
  const std::string_view rest = n.part.substr(kBlock.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), n.layer);
  if (error != std::errc() || end == rest.data() + rest.size() || *end != '.') return {.part = name};
  n.part = rest.substr(static_cast<std::size_t>(end + 1 - rest.data()));
  return n;
}

struct Pair {
  std::string_view part;
  std::string_view TensorNames::*name;
};
constexpr auto kOfModel = std::to_array<Pair>({{"token_embd", &TensorNames::embedding},
                                               {"position_embd", &TensorNames::positions},
                                               {"token_embd_norm", &TensorNames::embedding_norm},
                                               {"output_norm", &TensorNames::norm},
                                               {"output", &TensorNames::head}});
constexpr auto kOfLayer = std::to_array<Pair>({{"attn_norm", &TensorNames::before_attention},
                                               {"post_attention_norm", &TensorNames::after_attention},
                                               {"ffn_norm", &TensorNames::before_mlp},
                                               {"post_ffw_norm", &TensorNames::after_mlp},
                                               {"attn_q", &TensorNames::q},
                                               {"attn_k", &TensorNames::k},
                                               {"attn_v", &TensorNames::v},
                                               {"attn_qkv", &TensorNames::qkv},
                                               {"attn_output", &TensorNames::out},
                                               {"attn_q_norm", &TensorNames::q_norm},
                                               {"attn_k_norm", &TensorNames::k_norm},
                                               {"ffn_gate", &TensorNames::gate},
                                               {"ffn_up", &TensorNames::up},
                                               {"ffn_down", &TensorNames::down}});

std::string_view find_name(std::span<const Pair> pairs, const TensorNames& names, std::string_view part) {
  const auto at = std::ranges::find(pairs, part, &Pair::part);
  return at == pairs.end() ? std::string_view() : names.*(at->name);
}

// Pair (2i, 2i + 1) of a head is (i, i + size / 2) in the model's own order.
Rows out_of_pairs(std::int64_t heads, std::int64_t size) {
  Rows rows;
  rows.reserve(static_cast<std::size_t>(heads * size));
  for (std::int64_t h = 0; h < heads; ++h) {
    for (std::int64_t half = 0; half < 2; ++half) {
      for (std::int64_t i = 0; i < size / 2; ++i) rows.push_back(h * size + 2 * i + half);
    }
  }
  return rows;
}

// Queries, keys and values of each group together, of rows in which all queries come first, then all keys, then all
// values.
Rows into_groups(std::int64_t heads, std::int64_t groups, std::int64_t size) {
  Rows rows;
  rows.reserve(static_cast<std::size_t>((heads + 2 * groups) * size));
  const auto add = [&](std::int64_t head) {
    for (std::int64_t i = 0; i < size; ++i) rows.push_back(head * size + i);
  };
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t h = 0; h < heads / groups; ++h) add(g * (heads / groups) + h);
    add(heads + g);
    add(heads + groups + g);
  }
  return rows;
}

class Naming {
 public:
  Naming(const GgufFamily& family, const gguf::Model& model, const Json& config)
      : family_(family), model_(model), names_(family.tensor_names()), row_(family.row()) {
    const auto number = [&](std::initializer_list<const char*> keys, std::int64_t absent) {
      for (const char* key : keys) {
        if (const Json* x = config.find(key); x != nullptr && x->is_integer()) return x->integer();
      }
      return absent;
    };
    layers_ = number({"num_hidden_layers", "n_layer", "n_layers"}, 0);
    heads_ = number({"num_attention_heads", "n_head", "n_heads"}, 1);
    kv_heads_ = number({"num_key_value_heads", "num_kv_heads"}, heads_);
    const std::int64_t hidden = number({"hidden_size", "n_embd", "d_model"}, 0);
    head_dim_ = number({"head_dim"}, hidden / heads_);
    two_norms_ = number({"num_ln_in_parallel_attn"}, 1) == 2;
    if (family.permuted) {
      queries_ = arrangement({.rows = out_of_pairs(heads_, head_dim_)});
      keys_ = arrangement({.rows = out_of_pairs(kv_heads_, head_dim_)});
    }
    const bool grouped = row_ != nullptr ? row_->fused.form == Fused::groups && row_->fused.multi_query.empty()
                                         : family.model_type == "falcon";
    if (grouped) fused_ = arrangement({.rows = into_groups(heads_, kv_heads_, head_dim_)});
    if (row_ != nullptr && row_->norm.form.one_more) more_ = arrangement({.one_added = true});
    if (family.model_type == "gpt2") turned_ = arrangement({.turned = true});
  }

  void add(const gguf::Model::Found& found) {
    const Name n = parse(found.info->name);
    if (n.layer < 0 ? add_of_model(found, n) : n.layer < layers_ && add_of_layer(found, n)) return;
    keep(found, std::string(found.info->name), nullptr);
  }

  // What metadata holds in place of tensors: the parameters of xielu, a number for each layer.
  void add_xielu() {
    for (const auto& [key, name] : {std::pair{"xielu.alpha_p", "alpha_p"},
                                    {"xielu.alpha_n", "alpha_n"},
                                    {"xielu.beta", "beta"},
                                    {"xielu.eps", "eps"}}) {
      const gguf::Metadata& m = model_.metadata();
      const gguf::Value* v = m.find(key);
      if (v == nullptr) continue;
      m.without_effect(key);
      const bool fits = v->type == gguf::ValueType::f32 && (!v->array || std::cmp_equal(v->count, layers_));
      if (!fits) m.fail(key, fmt::format("{} f32", layers_), gguf::short_text(*v));
      for (std::int64_t i = 0; i < layers_; ++i) {
        const std::size_t at = v->array ? static_cast<std::size_t>(i) * sizeof(float) : 0;
        kept_.push_back({.tensor = {.name = fmt::format("{}{}{}.mlp.act_fn.{}", names_.prefix, names_.layer, i, name),
                                    .dtype = DType::f32,
                                    .shape = {1},
                                    .data = v->bytes.subspan(at, sizeof(float)),
                                    .file = model_.parts().front().file()}});
      }
    }
  }

  GgufTensors take() {
    std::vector<std::size_t> order(kept_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, {}, [&](std::size_t i) -> const std::string& { return kept_[i].tensor.name; });
    for (const std::size_t i : order) {
      tensors_.readable.push_back(std::move(kept_[i].tensor));
      tensors_.arrangements.push_back(std::move(kept_[i].arranged));
    }
    std::ranges::sort(tensors_.unreadable, {}, &containers::Unreadable::name);
    return std::move(tensors_);
  }

 private:
  using Arranged = std::shared_ptr<const Arrangement>;
  static Arranged arrangement(Arrangement a) { return std::make_shared<const Arrangement>(std::move(a)); }

  bool add_of_model(const gguf::Model::Found& found, const Name& n) {
    // Read with the config: they are factors of its numbers.
    for (const std::string_view read : {"rope_freqs", "rope_factors_long", "rope_factors_short"}) {
      if (n.part == read) return true;
    }
    std::string_view name = find_name(kOfModel, names_, n.part);
    // LFM2's last norm has this name in files and a like one in folders.
    if (n.part == "token_embd_norm" && name.empty() && !names_.mixer.empty()) name = names_.norm;
    if (name.empty()) return false;
    const bool head = n.part == "output", table = n.part == "position_embd";
    keep(found, fmt::format("{}{}{}", head ? "" : names_.prefix, name, n.end),
         n.part == "output_norm" ? norm_of(n)
         : table                 ? wide_
                                 : nullptr);
    return true;
  }

  bool add_of_layer(const gguf::Model::Found& found, const Name& n) {
    const std::string at = fmt::format("{}{}{}.", names_.prefix, names_.layer, n.layer);
    if (two_norms_ && (n.part == "attn_norm" || n.part == "attn_norm_2")) {
      keep(found, fmt::format("{}{}{}", at, n.part == "attn_norm" ? "ln_mlp" : "ln_attn", n.end), nullptr);
      return true;
    }
    if (n.part == "attn_qkv" && names_.qkv.empty()) return add_parts(found, n, at);
    if (n.part == "ffn_up" && !names_.gate_up.empty()) {
      keep(found, fmt::format("{}{}{}", at, names_.gate_up, n.end), nullptr);
      return true;
    }
    if (constexpr std::string_view kConvolution = "shortconv."; n.part.starts_with(kConvolution)) {
      if (names_.mixer.empty()) return false;
      const std::size_t before = kept_.size();
      keep(found, fmt::format("{}{}{}{}", at, names_.mixer, n.part.substr(kConvolution.size()), n.end), nullptr);
      // A filter has a channel of its own in folders: [channels, 1, taps].
      if (n.part == "shortconv.conv" && n.end == ".weight" && kept_.size() > before && found.info->shape.size() == 2) {
        std::vector<std::int64_t>& shape = kept_.back().tensor.shape;
        shape.insert(shape.begin() + 1, 1);
      }
      return true;
    }
    // The norm between attention and MLP, whichever name the converter had for it.
    const bool between = n.part == "post_attention_norm" && names_.after_attention.empty();
    const std::string_view name = between ? names_.before_mlp : find_name(kOfLayer, names_, n.part);
    if (name.empty()) return false;
    const std::string whole = fmt::format("{}{}{}", at, name, n.end);
    if (apart(n)) return add_each_head(found, fmt::format("{}{}", at, name), n);
    keep(found, whole, arrangement_of(n));
    return true;
  }

  bool is_norm(const Name& n) const { return n.part.ends_with("_norm"); }
  Arranged norm_of(const Name& n) const { return n.end == ".weight" ? more_ : nullptr; }

  Arranged arrangement_of(const Name& n) const {
    if (is_norm(n)) return norm_of(n);
    const bool moved = n.end == ".weight" || family_.permuted_biases;
    if (n.part == "attn_q") return moved ? queries_ : nullptr;
    if (n.part == "attn_k") return moved ? keys_ : nullptr;
    if (n.part == "attn_qkv" && fused_) return fused_;
    return n.end == ".weight" ? turned_ : nullptr;
  }

  bool apart(const Name& n) const {
    return row_ != nullptr && row_->heads.form == arch::Heads::each_apart &&
           (n.part == "attn_q_norm" || n.part == "attn_k_norm");
  }

  // One tensor of all heads' norms [heads, size], which the folder has a tensor each for.
  bool add_each_head(const gguf::Model::Found& found, const std::string& name, const Name& n) {
    if (found.info->shape.size() != 2) return false;
    for (std::int64_t h = 0; h < found.info->shape[0]; ++h) {
      const std::size_t before = kept_.size();
      keep_rows(found, fmt::format("{}.norms.{}{}", name, h, n.end), h, 1, nullptr);
      if (kept_.size() > before) kept_.back().tensor.shape = {found.info->shape[1]};
    }
    return true;
  }

  // Queries, keys and values as one, which the folder has apart.
  bool add_parts(const gguf::Model::Found& found, const Name& n, const std::string& at) {
    const std::int64_t q = heads_ * head_dim_, kv = kv_heads_ * head_dim_;
    if (found.info->shape[0] != q + 2 * kv) return false;
    keep_rows(found, fmt::format("{}{}{}", at, names_.q, n.end), 0, q, queries_);
    keep_rows(found, fmt::format("{}{}{}", at, names_.k, n.end), q, kv, keys_);
    keep_rows(found, fmt::format("{}{}{}", at, names_.v, n.end), q + kv, kv, nullptr);
    return true;
  }

  void keep(const gguf::Model::Found& found, std::string name, Arranged arranged) {
    keep_rows(found, std::move(name), 0, found.info->shape[0], std::move(arranged));
  }

  void keep_rows(const gguf::Model::Found& found, std::string name, std::int64_t first, std::int64_t count,
                 Arranged arranged) {
    const gguf::Info& info = *found.info;
    std::vector<std::int64_t> shape = info.shape;
    const std::uint64_t row = info.bytes / static_cast<std::uint64_t>(shape[0]);
    const auto data =
        found.data().subspan(static_cast<std::size_t>(first) * row, static_cast<std::size_t>(count) * row);
    shape[0] = count;
    // Rows that are moved must be those of this tensor; where they are not, its page says what is wrong with the shape.
    if (arranged && !arranged->rows.empty() && std::cmp_not_equal(arranged->rows.size(), count)) arranged = nullptr;
    const auto readable = gguf::readable_as(*info.type);
    if (!readable) {
      tensors_.unreadable.push_back({.name = std::move(name),
                                     .dtype = info.type->name,
                                     .shape = std::move(shape),
                                     .bytes = data.size(),
                                     .file = found.part->file(),
                                     .instead = info.type->instead});
      return;
    }
    containers::Tensor t{.name = std::move(name), .shape = std::move(shape), .data = data, .file = found.part->file()};
    set_type(t, *readable);
    kept_.push_back({std::move(t), std::move(arranged)});
  }

  static void set_type(containers::Tensor& t, const quant::ElementType& type) {
    if (const auto* format = std::get_if<quant::Format>(&type)) {
      t.dtype = DType::u8;
      t.format = *format;
    } else {
      t.dtype = std::get<DType>(type);
    }
  }

  const GgufFamily& family_;
  const gguf::Model& model_;
  const TensorNames& names_;
  const arch::Row* row_;
  std::int64_t layers_ = 0, heads_ = 1, kv_heads_ = 1, head_dim_ = 0;
  bool two_norms_ = false;
  Arranged queries_, keys_, fused_, more_, turned_, wide_ = arrangement({.widened = true});
  struct Kept {
    containers::Tensor tensor;
    Arranged arranged = nullptr;
  };
  std::vector<Kept> kept_;
  GgufTensors tensors_;
};

}  // namespace

GgufTensors gguf_tensors(const GgufFamily& family, const gguf::Model& model, const Json& config) {
  Naming naming(family, model, config);
  for (const gguf::Model::Found& found : model.tensors()) naming.add(found);
  naming.add_xielu();
  return naming.take();
}

}  // namespace pkv::model
