// GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): learned positions, layer norm
// before each branch, one fused product for queries, keys and values. Its linear layers are stored transposed (Conv1D).
#include <cmath>
#include <vector>

#include "engine/model/arch/arch.h"

namespace pkv::model::arch {
namespace {

struct Layer {
  Norm ln_1, ln_2;
  Attention attn;
  Mlp mlp;
};

struct Gpt2 {
  Card card;
  Projection wte;
  View wpe;
  Projection lm_head;
  std::vector<Layer> h;
  Norm ln_f;
};

Card read_card(const hf::Config& c) {
  Card card{.family = "GPT-2", .model_type = "gpt2", .positions = Positions::learned, .notes = ""};
  card.vocab = c.integer({"vocab_size"}, 1, kMaxTokens);
  card.context = c.integer({"n_positions", "max_position_embeddings"}, 1, kMaxTokens);
  card.hidden = c.integer({"n_embd", "hidden_size"}, 1, kMaxWidth);
  card.layers = c.integer({"n_layer", "num_hidden_layers"}, 1, kMaxWidth);
  card.heads = card.kv_heads = c.integer({"n_head", "num_attention_heads"}, 1, kMaxWidth);
  card.head_dim = head_size(c, card.hidden, card.heads);
  card.inner = c.integer_or_none({"n_inner"}, 1, kMaxWidth).value_or(4 * card.hidden);
  card.tied = c.flag_or({"tie_word_embeddings"}, true);
  // Upcasting concerns half-precision sums only; ours are fp32 always. n_ctx repeats n_positions in old files.
  c.without_effect({"reorder_and_upcast_attn", "n_ctx", "attn_pdrop", "embd_pdrop", "resid_pdrop", "initializer_range",
                    "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels",
                    "summary_first_dropout"});
  return card;
}

Layer read_layer(Reader& in, const Card& card, std::int64_t i, double eps, kernels::Act act) {
  const hf::Config& c = in.config();
  const std::string h = "h." + std::to_string(i) + ".";
  double scale = c.flag_or({"scale_attn_weights"}, true) ? 1 / std::sqrt(static_cast<double>(card.head_dim)) : 1;
  if (c.flag_or({"scale_attn_by_inverse_layer_idx"}, false)) scale /= static_cast<double>(i + 1);
  Layer layer;
  layer.ln_1 = in.norm(h + "ln_1", card.hidden, eps);
  layer.attn.qkv = in.conv1d(h + "attn.c_attn", card.hidden, 3 * card.hidden);
  layer.attn.out = in.conv1d(h + "attn.c_proj", card.hidden, card.hidden);
  layer.attn.scale = static_cast<float>(scale);
  layer.ln_2 = in.norm(h + "ln_2", card.hidden, eps);
  layer.mlp.up = in.conv1d(h + "mlp.c_fc", card.hidden, card.inner);
  layer.mlp.down = in.conv1d(h + "mlp.c_proj", card.inner, card.hidden);
  layer.mlp.act = act;
  return layer;
}

void run(const Gpt2& m, Pass& p) {
  p.embed(m.wte);
  p.add_positions(m.wpe);
  for (const Layer& l : m.h) {
    p.add(p.attend(p.norm(l.ln_1), l.attn));
    p.add(p.mlp(p.norm(l.ln_2), l.mlp));
    p.end_layer();
  }
  p.head();
  p.logits(p.norm(m.ln_f), m.lm_head);
}

}  // namespace

std::unique_ptr<Page> load_gpt2(Reader& in) {
  const hf::Config& c = in.config();
  const double eps = c.number_or({"layer_norm_epsilon"}, 1e-5);
  const kernels::Act act = c.has("activation_function") || c.is_null("activation_function")
                               ? read_activation(c, {"activation_function"})
                               : kernels::Act::gelu_tanh;
  in.base_prefix("transformer.");
  Gpt2 m{.card = read_card(c), .wte = {}, .wpe = {}, .lm_head = {}, .h = {}, .ln_f = {}};
  m.wte = in.embedding("wte.weight", "lm_head.weight", m.card);
  m.wpe = in.matrix("wpe.weight", m.card.context, m.card.hidden);
  for (std::int64_t i = 0; i < m.card.layers; ++i) m.h.push_back(read_layer(in, m.card, i, eps, act));
  m.ln_f = in.norm("ln_f", m.card.hidden, eps);
  m.lm_head = in.output();
  in.without_effect(".attn.bias");  // the causal mask, kept as a buffer
  in.without_effect(".attn.masked_bias");
  return std::make_unique<PageOf<Gpt2>>(std::move(m));
}

}  // namespace pkv::model::arch
