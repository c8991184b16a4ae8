// MPT (MosaicML 2023): no positions but ALiBi's bias on the scores (Press et al. 2021, arXiv:2108.12409), fused
// queries, keys and values that may be clipped, and as a rule no biases anywhere, the norms included. Where
// transformers' class and MosaicML's own code differ (expansion_ratio, alibi_bias_max and biases, which the former
// ignores), this follows the latter.
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "engine/model/arch/arch.h"
#include "files/hf/common_keys.h"

namespace pkv::model::arch {
namespace {

struct Block {
  Norm norm_1, norm_2;
  Attention attn;
  Mlp ffn;
};

struct Mpt {
  Card card;
  Projection wte;
  Projection lm_head;
  std::vector<Block> blocks;
  Norm norm_f;
};

struct Options {
  float clip = 0, scale = 1;
  double eps = 1e-5;
  bool no_bias = true;
  std::vector<float> slopes;
};

Card read_card(const hf::Config& c) {
  Card card{.family = "MPT",
            .model_type = "mpt",
            .context_is_hard = false,
            .positions = Positions::alibi,
            .past_in_2023 = PastIn2023::absent,
            .notes = ""};
  card.vocab = c.integer({"vocab_size"}, 1, kMaxTokens);
  card.context = c.integer_or({"max_seq_len"}, 2048, 1, kMaxTokens);
  card.hidden = c.integer({"d_model", "hidden_size"}, 1, kMaxWidth);
  card.layers = c.integer({"n_layers", "num_hidden_layers"}, 1, kMaxWidth);
  card.heads = card.kv_heads = c.integer({"n_heads", "num_attention_heads"}, 1, kMaxWidth);
  card.head_dim = head_size(c, card.hidden, card.heads);
  card.inner = c.integer_or({"expansion_ratio"}, 4, 1, 1024) * card.hidden;
  card.tied = c.flag_or({"tie_word_embeddings"}, true);
  return card;
}

// The slopes of 2^k heads are 2^(-max i / 2^k), i = 1, 2, ...; another number of heads takes every other of the next
// power of two's, the even ones first.
std::vector<float> alibi_slopes(std::int64_t heads, double bias_max) {
  const auto power = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(heads)));
  const auto slope = [&](std::int64_t i) {
    // 1 / 2^x with x in fp32, as the models were trained.
    const auto x = static_cast<float>(i) * static_cast<float>(bias_max / static_cast<double>(power));
    return static_cast<float>(std::exp2(-static_cast<double>(x)));
  };
  std::vector<float> slopes;
  if (power == heads) {
    for (std::int64_t i = 1; i <= heads; ++i) slopes.push_back(slope(i));
    return slopes;
  }
  for (std::int64_t i = 2; i <= power; i += 2) slopes.push_back(slope(i));
  for (std::int64_t i = 1; i <= power; i += 2) slopes.push_back(slope(i));
  slopes.resize(static_cast<std::size_t>(heads));
  return slopes;
}

void refuse_unsupported(const hf::Config& c, const hf::Config& attn) {
  if (attn.text_or({"attn_type"}, "multihead_attention") != "multihead_attention") {
    attn.unsupported("attn_type", "\"multihead_attention\"");
  }
  if (!attn.flag_or({"alibi"}, true)) attn.unsupported("alibi", "true: learned positions are not implemented for MPT");
  if (attn.flag_or({"prefix_lm"}, false)) attn.unsupported("prefix_lm", "false");
  if (attn.flag_or({"qk_ln"}, false)) attn.unsupported("qk_ln", "false");
  if (attn.flag_or({"attn_uses_sequence_id"}, false)) attn.unsupported("attn_uses_sequence_id", "false");
  if (const Json* scale = c.value({"logit_scale"}); scale != nullptr && (!scale->is_number() || scale->number() != 1)) {
    c.unsupported("logit_scale", "null or 1");
  }
  const std::string norm = c.text_or({"norm_type"}, "low_precision_layernorm");
  if (norm != "low_precision_layernorm" && norm != "layernorm") {
    c.unsupported("norm_type", "\"low_precision_layernorm\" or \"layernorm\"");
  }
  attn.without_effect({"attn_impl", "attn_pdrop", "model_type"});
  hf::accept_common_keys(attn);  // transformers 5 saves a whole config here
  // With ALiBi there are no learned positions, whatever learned_pos_emb says; embedding_fraction scales gradients.
  c.without_effect({"logit_scale", "learned_pos_emb", "embedding_fraction", "emb_pdrop", "resid_pdrop", "init_device",
                    "init_config", "initializer_range", "tokenizer_name", "verbose", "param_init_fn", "init_std",
                    "emb_init_std", "emb_init_uniform_lim", "init_div_is_residual", "init_gain", "init_nonlinearity",
                    "fan_mode"});
}

Options read_options(const hf::Config& c, const Card& card) {
  const hf::Config& attn = c.child("attn_config");
  refuse_unsupported(c, attn);
  Options o;
  o.scale = static_cast<float>(
      attn.number_or_none({"softmax_scale"}).value_or(1 / std::sqrt(static_cast<double>(card.head_dim))));
  o.clip = static_cast<float>(attn.number_or_none({"clip_qkv"}).value_or(0));
  if (o.clip < 0) attn.unsupported("clip_qkv", "null or a positive number");
  o.slopes = alibi_slopes(card.heads, attn.number_or({"alibi_bias_max"}, 8));
  o.eps = c.number_or({"layer_norm_epsilon"}, 1e-5);
  o.no_bias = c.flag_or({"no_bias"}, true);
  return o;
}

// Biases are used where the file has them; the config may say that there are none, then there must be none.
bool has_bias(Reader& in, const std::string& name, const Options& o) {
  const bool stored = in.has(name + ".bias");
  if (stored && o.no_bias) {
    fail_load({.what = "the config and the weights contradict each other",
               .where = in.config().file() + ": no_bias",
               .expected = "false, since there is a tensor '" + name + ".bias'",
               .found = "true"});
  }
  return stored;
}

Projection linear(Reader& in, const std::string& name, std::int64_t out, std::int64_t width, const Options& o) {
  return in.linear(name, out, width, has_bias(in, name, o));
}

Norm norm(Reader& in, const std::string& name, const Card& card, const Options& o) {
  return in.norm(name, card.hidden, o.eps, has_bias(in, name, o));
}

Block read_block(Reader& in, const Card& card, const Options& o, std::int64_t i) {
  const std::string b = "blocks." + std::to_string(i) + ".";
  Block block;
  block.norm_1 = norm(in, b + "norm_1", card, o);
  block.attn.qkv = linear(in, b + "attn.Wqkv", 3 * card.hidden, card.hidden, o);
  block.attn.out = linear(in, b + "attn.out_proj", card.hidden, card.hidden, o);
  block.attn.scale = o.scale;
  block.attn.clip = o.clip;
  block.norm_2 = norm(in, b + "norm_2", card, o);
  block.ffn.up = linear(in, b + "ffn.up_proj", card.inner, card.hidden, o);
  block.ffn.down = linear(in, b + "ffn.down_proj", card.hidden, card.inner, o);
  block.ffn.act = kernels::Act::gelu;
  return block;
}

void run(const Mpt& m, Pass& p) {
  p.embed(m.wte);
  for (const Block& b : m.blocks) {
    p.add(p.attend(p.norm(b.norm_1), b.attn));
    p.add(p.mlp(p.norm(b.norm_2), b.ffn));
    p.end_layer();
  }
  p.head();
  p.logits(p.norm(m.norm_f), m.lm_head);
}

}  // namespace

std::unique_ptr<Page> load_mpt(Reader& in) {
  const hf::Config& c = in.config();
  in.base_prefix("transformer.");
  Mpt m{.card = read_card(c), .wte = {}, .lm_head = {}, .blocks = {}, .norm_f = {}};
  const Options o = read_options(c, m.card);
  const View slopes = in.constants(o.slopes);
  m.wte = in.embedding("wte.weight", "lm_head.weight", m.card);
  for (std::int64_t i = 0; i < m.card.layers; ++i) {
    m.blocks.push_back(read_block(in, m.card, o, i));
    m.blocks.back().attn.alibi.slopes = slopes;
  }
  m.norm_f = norm(in, "norm_f", m.card, o);
  m.lm_head = in.output();
  return std::make_unique<PageOf<Mpt>>(std::move(m));
}

}  // namespace pkv::model::arch
