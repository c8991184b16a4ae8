// The numbers that configs say, of architectures that pkv runs and of those that it does not.
#include "engine/model/outline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/models.h"

namespace pkv::model {
namespace {

using testing::HasSubstr;

Outline of(const std::string& json) { return outline_of(hf::Config::parse(json, "config.json")); }

// As the pages read them.
TEST(Outline, OfModelsThatRunIsTheirCard) {
  for (const auto& folder : support::model_folders(support::golden_data())) {
    SCOPED_TRACE(folder);
    const hf::Folder opened = hf::Folder::open(folder);
    const Card card = inspect(opened).card;
    const Outline o = outline_of(opened.config());
    EXPECT_EQ(o.layers, card.layers);
    EXPECT_EQ(o.hidden, card.hidden);
    EXPECT_EQ(o.heads, card.heads);
    EXPECT_EQ(o.head_dim, card.head_dim);
    EXPECT_EQ(o.vocab, card.vocab);
    EXPECT_TRUE(o.past || card.layers_with_keys() == 0) << o.no_past;
    EXPECT_EQ(o.past ? o.past->values : 0, 2 * card.layers_with_keys() * card.kv_heads * card.head_dim);
  }
}

// The last number: what transformers 5.24 keeps for a token in the cache of a model of that config.
TEST(Outline, PastOfOtherArchitectures) {
  const struct {
    const char* config;
    std::int64_t values;
  } cases[]{
      {R"("model_type": "opt", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4)", 256},
      {R"("model_type": "bloom", "hidden_size": 32, "n_layer": 4, "n_head": 4)", 256},
      {R"("model_type": "gpt_bigcode", "n_embd": 32, "n_layer": 4, "n_head": 4, "multi_query": true)", 64},
      {R"("model_type": "codegen", "n_embd": 32, "n_layer": 4, "n_head": 4)", 256},
      {R"("model_type": "xglm", "d_model": 32, "num_layers": 4, "attention_heads": 4)", 256},
      {R"("model_type": "gpt_oss", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
          "num_key_value_heads": 2, "head_dim": 16,
          "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"])",
       256},
      {R"("model_type": "jamba", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
          "num_key_value_heads": 2, "attn_layer_period": 2, "attn_layer_offset": 1)",
       64},
      {R"("model_type": "lfm2", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
          "num_key_value_heads": 2, "layer_types": ["conv", "full_attention", "conv", "full_attention"])",
       64},
      {R"("model_type": "deepseek_v3", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
          "num_key_value_heads": 4, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8)",
       48},
      {R"("model_type": "gemma3n_text", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
          "num_key_value_heads": 2, "head_dim": 8, "num_kv_shared_layers": 1,
          "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"])",
       96},
      {R"("model_type": "whole", "text_config": {"model_type": "part", "hidden_size": 32, "num_hidden_layers": 4,
          "num_attention_heads": 4, "num_key_value_heads": [4, 2, 2, 0]})",
       128},
  };
  for (const auto& [config, values] : cases) {
    const Outline o = of(std::string("{") + config + "}");
    ASSERT_TRUE(o.past) << config << o.no_past;
    EXPECT_EQ(o.past->values, values) << config;
  }
}

TEST(Outline, WhatAConfigDoesNotSayIsNotMadeUp) {
  EXPECT_THAT(of("{}").no_past, HasSubstr("how many layers"));
  EXPECT_THAT(of(R"({"num_hidden_layers": 2})").no_past, HasSubstr("how many heads"));
  EXPECT_THAT(of(R"({"num_hidden_layers": 2, "num_attention_heads": 3, "hidden_size": 32})").no_past,
              HasSubstr("how large a head is"));
  EXPECT_THAT(of(R"({"model_type": "mamba", "num_hidden_layers": 2})").no_past, HasSubstr("states of a fixed size"));
  const Outline o = of(R"({"num_hidden_layers": "two", "hidden_size": -1, "num_attention_heads": 1e30, "vocab_size": [],
                           "tie_word_embeddings": 1, "torch_dtype": 7, "quantization_config": [], "model_type": 3})");
  EXPECT_FALSE(o.layers || o.hidden || o.heads || o.vocab || o.tied || o.dtype);
  EXPECT_EQ(o.model_type, "");
}

TEST(Outline, OfWindowsQuantisationAndFormat) {
  const Outline o = of(R"({"model_type": "x", "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8,
                           "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"],
                           "torch_dtype": "bfloat16", "quantization_config": {"quant_method": "gptq"}})");
  EXPECT_EQ(o.window, 16);
  EXPECT_EQ(o.past->windowed, 1);
  EXPECT_EQ(o.dtype, DType::bf16);
  EXPECT_EQ(o.quantised_by, "gptq");
  EXPECT_FALSE(of(R"({"sliding_window": 16, "use_sliding_window": false})").window);
}

}  // namespace
}  // namespace pkv::model
