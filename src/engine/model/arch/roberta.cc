// RoBERTa (Liu et al. 2019, arXiv:1907.11692) with its language-modelling head: learned positions counted from the
// padding index, layer norm after each sum, attention both ways unless the config makes it a decoder. Fed in pieces, a
// piece attends to the past and, both ways, to itself, as in any engine that would reuse its past.
#include <cmath>
#include <vector>

#include "engine/model/arch/arch.h"

namespace pkv::model::arch {
namespace {

struct Layer {
  Attention attention;
  Norm attention_norm, output_norm;
  Mlp mlp;
};

struct Roberta {
  Card card;
  Projection word;
  View position, token_type;
  Norm embedding_norm;
  std::vector<Layer> layers;
  Projection head_dense;
  Norm head_norm;
  Projection decoder;
};

Card read_card(const hf::Config& c, std::int64_t padding) {
  Card card{.family = "RoBERTa",
            .model_type = c.text({"model_type"}),
            .positions = Positions::learned,
            .first_position = padding + 1,
            .final_norm = false,
            .past_in_2023 = PastIn2023::absent,
            .notes = ""};
  card.vocab = c.integer({"vocab_size"}, 1, kMaxTokens);
  card.hidden = c.integer({"hidden_size"}, 1, kMaxWidth);
  card.layers = c.integer({"num_hidden_layers"}, 1, kMaxWidth);
  card.heads = card.kv_heads = c.integer({"num_attention_heads"}, 1, kMaxWidth);
  card.head_dim = head_size(c, card.hidden, card.heads);
  card.inner = c.integer({"intermediate_size"}, 1, kMaxWidth);
  card.padding = static_cast<std::int32_t>(padding);
  card.context = c.integer({"max_position_embeddings"}, padding + 2, kMaxTokens) - padding - 1;
  card.causal = c.flag_or({"is_decoder"}, false);
  card.tied = c.flag_or({"tie_word_embeddings"}, true);
  card.notes = card.causal ? "decoder: attends to the left" : "encoder: attends both ways";
  if (c.text_or({"position_embedding_type"}, "absolute") != "absolute") {
    c.unsupported("position_embedding_type", "\"absolute\"");
  }
  c.without_effect({"attention_probs_dropout_prob", "hidden_dropout_prob", "classifier_dropout", "initializer_range"});
  return card;
}

Layer read_layer(Reader& in, const Card& card, std::int64_t i, double eps) {
  const std::string l = "encoder.layer." + std::to_string(i) + ".";
  Layer layer;
  layer.attention.q = in.linear(l + "attention.self.query", card.hidden, card.hidden);
  layer.attention.k = in.linear(l + "attention.self.key", card.hidden, card.hidden);
  layer.attention.v = in.linear(l + "attention.self.value", card.hidden, card.hidden);
  layer.attention.out = in.linear(l + "attention.output.dense", card.hidden, card.hidden);
  layer.attention.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(card.head_dim)));
  layer.attention.causal = card.causal;
  layer.attention_norm = in.norm(l + "attention.output.LayerNorm", card.hidden, eps);
  layer.mlp.up = in.linear(l + "intermediate.dense", card.inner, card.hidden);
  layer.mlp.down = in.linear(l + "output.dense", card.hidden, card.inner);
  layer.output_norm = in.norm(l + "output.LayerNorm", card.hidden, eps);
  return layer;
}

void run(const Roberta& m, Pass& p) {
  p.embed(m.word);
  p.add_token_type(m.token_type);
  p.add_positions(m.position);
  p.replace(p.norm(m.embedding_norm));
  for (const Layer& l : m.layers) {
    p.add(p.attend(p.hidden(), l.attention));
    p.replace(p.norm(l.attention_norm));
    p.add(p.mlp(p.hidden(), l.mlp));
    p.replace(p.norm(l.output_norm));
    p.end_layer();
  }
  p.head();
  p.replace(p.dense(m.head_dense, kernels::Act::gelu));
  p.logits(p.norm(m.head_norm), m.decoder);
}

}  // namespace

std::unique_ptr<Page> load_roberta(Reader& in) {
  const hf::Config& c = in.config();
  const double eps = c.number_or({"layer_norm_eps"}, 1e-12);
  const std::int64_t padding = c.integer_or({"pad_token_id"}, 1, 0, kMaxTokens);
  const kernels::Act act =
      c.has("hidden_act") || c.is_null("hidden_act") ? read_activation(c, {"hidden_act"}) : kernels::Act::gelu;
  in.base_prefix("roberta.");
  Roberta m{.card = read_card(c, padding)};
  const std::int64_t hidden = m.card.hidden;
  const bool tied = m.card.tied;
  m.word = in.embedding("embeddings.word_embeddings.weight", "lm_head.decoder.weight", m.card);
  m.position = in.matrix("embeddings.position_embeddings.weight", m.card.context + padding + 1, hidden);
  m.token_type =
      in.matrix("embeddings.token_type_embeddings.weight", c.integer_or({"type_vocab_size"}, 2, 1, kMaxTokens), hidden);
  m.embedding_norm = in.norm("embeddings.LayerNorm", hidden, eps);
  for (std::int64_t i = 0; i < m.card.layers; ++i) {
    m.layers.push_back(read_layer(in, m.card, i, eps));
    m.layers.back().mlp.act = act;
  }
  m.head_dense = in.linear("lm_head.dense", hidden, hidden);
  m.head_norm = in.norm("lm_head.layer_norm", hidden, eps);
  m.decoder = in.output();
  // Stored once or twice: as the decoder's, which is added, and as the head's own.
  m.decoder.bias = in.vector("lm_head.decoder.bias", "lm_head.bias", m.card.vocab, tied);
  in.without_effect("embeddings.position_ids");  // 0, 1, 2, ... kept as a buffer
  in.without_effect("pooler.dense.weight");      // of the classification models
  in.without_effect("pooler.dense.bias");
  return std::make_unique<PageOf<Roberta>>(std::move(m));
}

}  // namespace pkv::model::arch
