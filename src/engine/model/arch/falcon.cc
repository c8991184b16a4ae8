// Falcon (TII 2023, arXiv:2311.16867): attention and MLP may run side by side on one residual, with one norm or two;
// one, a few or all heads have keys and values of their own; positions are rotary, or ALiBi with its bias rounded to
// bf16 and scaled like the scores (added once, as by transformers' default attention; its eager one adds it twice). The
// 7B, 40B and RW shapes and every mixture of them that transformers' own class can run.
#include <cmath>
#include <vector>

#include "engine/model/arch/arch.h"

namespace pkv::model::arch {
namespace {

struct Layer {
  Norm before_attention, before_mlp;  // the second only where `two_norms` or sequential
  Attention attention;
  Mlp mlp;
};

struct Falcon {
  Card card;
  bool parallel, two_norms;
  std::vector<Rotation> rotations;  // one or none
  Projection word_embeddings;
  Projection lm_head;
  std::vector<Layer> h;
  Norm ln_f;
};

struct Shape {
  bool grouped, multi_query, parallel, alibi, bias;
  std::int64_t norms;
  double eps;
};

Shape read_shape(const hf::Config& c) {
  // The first releases had two classes of their own instead of an option: RefinedWeb is the 40B shape.
  const std::string type = c.text({"model_type"});
  Shape s{};
  s.grouped = c.flag_or({"new_decoder_architecture"}, type == "RefinedWeb");
  s.multi_query = c.flag_or({"multi_query"}, true);
  s.parallel = c.flag_or({"parallel_attn"}, true);
  s.alibi = c.flag_or({"alibi"}, false);
  s.bias = c.flag_or({"bias"}, false);
  s.norms = c.integer_or_none({"num_ln_in_parallel_attn"}, 1, 2).value_or(s.grouped ? 2 : 1);
  s.eps = c.number_or({"layer_norm_epsilon"}, 1e-5);
  if (s.grouped && !s.parallel) c.unsupported("parallel_attn", "true, with new_decoder_architecture");
  if (!s.grouped && s.parallel && s.norms == 2) {
    c.unsupported("num_ln_in_parallel_attn", "1 or null, without new_decoder_architecture");
  }
  if (c.flag_or({"apply_residual_connection_post_layernorm"}, false)) {
    c.unsupported("apply_residual_connection_post_layernorm", "false");
  }
  c.without_effect({"attention_dropout", "hidden_dropout", "initializer_range"});
  return s;
}

std::string describe(const Shape& s) {
  const std::string heads = s.grouped ? "grouped heads" : s.multi_query ? "multi-query" : "multi-head";
  if (!s.parallel) return heads + ", sequential";
  return heads + ", parallel attention" + (s.norms == 2 ? ", two norms" : ", one norm");
}

Card read_card(const hf::Config& c, const Shape& s, double theta) {
  Card card{.family = "Falcon",
            .model_type = c.text({"model_type"}),
            .context_is_hard = false,
            .positions = s.alibi ? Positions::alibi : Positions::rotary,
            .rotary_theta = s.alibi ? 0 : theta,
            .past_in_2023 = s.alibi ? PastIn2023::used : PastIn2023::misread,
            .notes = describe(s)};
  card.vocab = c.integer({"vocab_size"}, 1, kMaxTokens);
  card.hidden = c.integer({"hidden_size", "n_embed"}, 1, kMaxWidth);
  card.layers = c.integer({"num_hidden_layers", "n_layer"}, 1, kMaxWidth);
  card.heads = c.integer({"num_attention_heads", "n_head"}, 1, kMaxWidth);
  card.head_dim = head_size(c, card.hidden, card.heads);
  const std::int64_t kv = c.integer_or_none({"num_kv_heads", "n_head_kv"}, 1, kMaxWidth).value_or(card.heads);
  card.kv_heads = s.grouped ? kv : s.multi_query ? 1 : card.heads;
  if (!s.grouped && !s.multi_query && kv != card.heads) c.unsupported("num_kv_heads", "the number of attention heads");
  if (card.heads % card.kv_heads != 0) c.unsupported("num_kv_heads", "a divisor of the number of attention heads");
  if (!s.alibi && card.head_dim % 2 != 0)
    c.unsupported("num_attention_heads", "heads of an even size, for rotary positions");
  card.inner = c.integer_or_none({"ffn_hidden_size"}, 1, kMaxWidth).value_or(4 * card.hidden);
  card.context = c.integer_or({"max_position_embeddings"}, 2048, 1, kMaxTokens);
  card.tied = c.flag_or({"tie_word_embeddings"}, true);
  return card;
}

Layer read_layer(Reader& in, const Card& card, const Shape& s, std::int64_t i, kernels::Act act) {
  const std::string h = "h." + std::to_string(i) + ".";
  const bool two = s.parallel && s.norms == 2;
  Layer layer;
  layer.before_attention = in.norm(h + (two ? "ln_attn" : "input_layernorm"), card.hidden, s.eps);
  if (two) layer.before_mlp = in.norm(h + "ln_mlp", card.hidden, s.eps);
  if (!s.parallel) layer.before_mlp = in.norm(h + "post_attention_layernorm", card.hidden, s.eps);
  const std::int64_t qkv = (card.heads + 2 * card.kv_heads) * card.head_dim;
  layer.attention.qkv = in.linear(h + "self_attention.query_key_value", qkv, card.hidden, s.bias);
  layer.attention.out = in.linear(h + "self_attention.dense", card.hidden, card.hidden, s.bias);
  layer.attention.fused = Fused::groups;
  layer.attention.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(card.head_dim)));
  layer.attention.rotation = s.alibi ? -1 : 0;
  layer.mlp.up = in.linear(h + "mlp.dense_h_to_4h", card.inner, card.hidden, s.bias);
  layer.mlp.down = in.linear(h + "mlp.dense_4h_to_h", card.hidden, card.inner, s.bias);
  layer.mlp.act = act;
  return layer;
}

void run(const Falcon& m, Pass& p) {
  p.embed(m.word_embeddings);
  p.rotary(m.rotations);
  for (const Layer& l : m.h) {
    const View normed = p.norm(l.before_attention);
    const Branch attended = p.attend(normed, l.attention);
    if (m.parallel) {
      const Branch grown = p.mlp(m.two_norms ? p.norm(l.before_mlp) : normed, l.mlp);
      p.add(attended);
      p.add(grown);
    } else {
      p.add(attended);
      p.add(p.mlp(p.norm(l.before_mlp), l.mlp));
    }
    p.end_layer();
  }
  p.head();
  p.logits(p.norm(m.ln_f), m.lm_head);
}

}  // namespace

std::unique_ptr<Page> load_falcon(Reader& in) {
  const hf::Config& c = in.config();
  const Shape s = read_shape(c);
  const double theta = read_rope_theta(c);
  const kernels::Act act =
      c.has("activation") || c.is_null("activation") ? read_activation(c, {"activation"}) : kernels::Act::gelu;
  in.base_prefix("transformer.");
  Falcon m{
      .card = read_card(c, s, theta), .parallel = s.parallel, .two_norms = s.parallel && s.norms == 2, .rotations = {}};
  if (!s.alibi) m.rotations.push_back(default_rotation(in, theta, m.card.head_dim));
  m.word_embeddings = in.embedding("word_embeddings.weight", "lm_head.weight", m.card);
  const View slopes = s.alibi ? in.constants(alibi_slopes(m.card.heads)) : View();
  for (std::int64_t i = 0; i < m.card.layers; ++i) {
    m.h.push_back(read_layer(in, m.card, s, i, act));
    Attention& a = m.h.back().attention;
    a.alibi = {.slopes = slopes, .scale = a.scale, .bf16 = true};
  }
  m.ln_f = in.norm("ln_f", m.card.hidden, s.eps);
  m.lm_head = in.output();
  in.without_effect("rotary_emb.inv_freq");
  in.without_effect("rotary.inv_freq");
  return std::make_unique<PageOf<Falcon>>(std::move(m));
}

}  // namespace pkv::model::arch
