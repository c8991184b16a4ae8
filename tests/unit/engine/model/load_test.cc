// What a page refuses: every option it does not implement, every tensor that is not there or has another shape.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "engine/model/arch/decoder.h"
#include "engine/model/architectures.h"
#include "engine/model/model.h"
#include "support/models.h"

namespace pkv::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const json kGpt2 = {{"model_type", "gpt2"}, {"vocab_size", 7}, {"n_positions", 9},
                    {"n_embd", 6},          {"n_layer", 1},    {"n_head", 2}};
const json kRoberta = {{"model_type", "roberta"},     {"vocab_size", 7},          {"hidden_size", 6},
                       {"num_hidden_layers", 1},      {"num_attention_heads", 2}, {"intermediate_size", 5},
                       {"max_position_embeddings", 9}};
const json kMpt = {{"model_type", "mpt"}, {"vocab_size", 7}, {"d_model", 6}, {"n_layers", 1}, {"n_heads", 2}};
const json kFalcon = {{"model_type", "falcon"},
                      {"vocab_size", 7},
                      {"hidden_size", 8},
                      {"num_hidden_layers", 1},
                      {"num_attention_heads", 2}};

class Load : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // One tensor, so that there is a file; the name is nobody's.
  std::string error_of(json config, const json& changes, const std::vector<containers::Tensor>& tensors = {}) {
    if (!changes.is_null()) config.update(changes);
    write_file(folder_ / "config.json", config.dump());
    containers::write_safetensors(folder_ / "model.safetensors", tensors, {});
    try {
      inspect(hf::Folder::open(folder_));
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), Error::Kind::load);
      return e.what();
    }
    return "no error";
  }

  fs::path folder_;
};

TEST_F(Load, UnknownModelTypeListsThoseThereAre) {
  EXPECT_THAT(error_of(kGpt2, {{"model_type", "lama"}}),
              AllOf(HasSubstr("config.json: model_type: unknown model_type"),
                    HasSubstr("gpt2, roberta, camembert, xlm-roberta, mpt, falcon"), HasSubstr("did you mean llama?"),
                    HasSubstr("found:    lama"), HasSubstr("record_transformers.py")));
  EXPECT_THAT(
      error_of({{"model_type", "several"}, {"text_config", {{"model_type", "qwen4"}}}}, {}),
      AllOf(HasSubstr("text_config.model_type: unknown"), HasSubstr("qwen2, qwen3"), HasSubstr("found:    qwen4")));
}

TEST_F(Load, MissingTensorNamesBothPlaces) {
  EXPECT_THAT(error_of(kGpt2, {}), AllOf(HasSubstr("tensor is missing"),
                                         HasSubstr("'transformer.wte.weight' or 'wte.weight' of shape [7, 6]")));
}

TEST_F(Load, WrongShapeAndDtypeNameTheTensor) {
  const std::vector<float> data(42);
  containers::Tensor t{
      .name = "wte.weight", .dtype = DType::f32, .shape = {6, 7}, .data = std::as_bytes(std::span(data))};
  EXPECT_THAT(error_of(kGpt2, {}, {t}), AllOf(HasSubstr("tensor 'wte.weight'"),
                                              HasSubstr("expected: [7, 6], by config.json"), HasSubstr("[6, 7]")));
  t.shape = {7, 6};
  t.dtype = DType::i32;
  EXPECT_THAT(error_of(kGpt2, {}, {t}),
              AllOf(HasSubstr("expected: F32, F16, BF16 or F64"), HasSubstr("found:    I32")));
}

struct Refusal {
  json config, changes;
  std::string says;
};

TEST_F(Load, WhatAPageDoesNotImplementIsRefusedByName) {
  const std::vector<Refusal> refusals{
      {kGpt2, {{"activation_function", "prelu"}}, "activation_function"},
      {kGpt2, {{"add_cross_attention", true}}, "add_cross_attention"},
      {kGpt2, {{"n_head", 4}}, "not a multiple of the number of heads"},
      {kGpt2, {{"n_layer", 0}}, "n_layer"},
      {kGpt2, {{"n_layer", 1e12}}, "n_layer"},
      {kGpt2, {{"n_layer", "two"}}, "n_layer"},
      {kGpt2, {{"n_embd", 8}, {"hidden_size", 6}}, "hidden_size"},
      {kGpt2, {{"vocab_size", nullptr}}, "vocab_size"},
      {kRoberta, {{"position_embedding_type", "relative_key"}}, "position_embedding_type"},
      {kRoberta, {{"max_position_embeddings", 2}}, "max_position_embeddings"},
      {kMpt, {{"attn_config", {{"alibi", false}}}}, "attn_config.alibi"},
      {kMpt, {{"attn_config", {{"prefix_lm", true}}}}, "prefix_lm"},
      {kMpt, {{"attn_config", {{"qk_ln", true}}}}, "qk_ln"},
      {kMpt, {{"attn_config", {{"attn_type", "multiquery_attention"}}}}, "attn_type"},
      {kMpt, {{"attn_config", {{"attn_uses_sequence_id", true}}}}, "attn_uses_sequence_id"},
      {kMpt, {{"attn_config", {{"clip_qkv", -1}}}}, "clip_qkv"},
      {kMpt, {{"logit_scale", "inv_sqrt_d_model"}}, "logit_scale"},
      {kMpt, {{"norm_type", "rmsnorm"}}, "norm_type"},
      {kFalcon, {{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}, "rope_scaling"},
      {kFalcon, {{"rope_parameters", {{"rope_type", "yarn"}}}}, "rope_type"},
      {kFalcon, {{"rope_theta", -1}}, "rope_theta"},
      {kFalcon, {{"new_decoder_architecture", true}, {"parallel_attn", false}}, "parallel_attn"},
      {kFalcon, {{"num_ln_in_parallel_attn", 2}}, "num_ln_in_parallel_attn"},
      {kFalcon, {{"multi_query", false}, {"num_kv_heads", 1}}, "num_kv_heads"},
      {kFalcon, {{"new_decoder_architecture", true}, {"num_attention_heads", 4}, {"num_kv_heads", 3}}, "num_kv_heads"},
      {kFalcon, {{"num_attention_heads", 8}}, "of an even size"},
      {kFalcon, {{"apply_residual_connection_post_layernorm", true}}, "apply_residual_connection_post_layernorm"},
      {kFalcon, {{"quantization_config", {{"quant_method", "gptq"}}}}, "quantization_config"},
  };
  for (const Refusal& r : refusals) {
    EXPECT_THAT(error_of(r.config, r.changes), AllOf(HasSubstr("config.json"), HasSubstr(r.says))) << r.changes;
  }
}

// What no row implements, and what a row's own keys can say.
TEST_F(Load, WhatARowDoesNotImplementIsRefusedByName) {
  const json common = {
      {"vocab_size", 7},         {"hidden_size", 24},        {"num_hidden_layers", 2}, {"num_attention_heads", 6},
      {"intermediate_size", 20}, {"num_key_value_heads", 2}, {"head_dim", 4},          {"max_position_embeddings", 64}};
  const std::vector<Refusal> of_all{
      {{}, {{"rope_scaling", {{"type", "spiral"}, {"factor", 2.0}}}}, "rope_scaling.type"},
      {{}, {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", -1.0}}}}, "rope_scaling.factor"},
      {{}, {{"rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}}}, "rope_scaling.low_freq_factor"},
      {{}, {{"vocab_size", nullptr}}, "vocab_size"},
  };
  for (const arch::Row& row : arch::rows()) {
    json config = common;
    config["model_type"] = std::string(row.model_type);
    config["attention_types"] = {{{"global", "local"}, 1}};
    if (row.turn.partial == 0.25) config["head_dim"] = 8;
    if (!row.turn.dim_key.empty()) config[std::string(row.turn.dim_key)] = 4;
    if (row.mixer.which == arch::Mixer::scan) {
      config["shared_intermediate_size"] = 20;
      config["num_local_experts"] = 0;
      config[row.turn.by == Positions::none ? "num_heads" : "mamba_n_heads"] = 12;
      config["n_groups"] = 2;
      if (config.contains("num_heads")) config.erase("num_attention_heads");
    }
    if (row.turn.temperature)
      config["rope_parameters"] = {{"llama_4_scaling_beta", 0.1}, {"original_max_position_embeddings", 32}};
    for (const Refusal& r : of_all) {
      const bool by_rope = row.turn.by == Positions::rotary && row.turn.dim_key.empty() && !row.turn.own_factor;
      if (!by_rope && r.says.starts_with("rope_")) continue;
      EXPECT_THAT(error_of(config, r.changes), AllOf(HasSubstr("config.json"), HasSubstr(r.says)))
          << row.model_type << r.changes;
    }
    EXPECT_THAT(error_of(config, {}), HasSubstr("tensor is missing")) << row.model_type;
  }
  const std::vector<Refusal> of_some{
      {"llama", {{"num_key_value_heads", 4}}, "num_key_value_heads"},
      {"llama", {{"hidden_act", "prelu"}}, "hidden_act"},
      {"llama", {{"head_dim", nullptr}, {"hidden_size", 25}}, "not a multiple of the number of heads"},
      {"llama", {{"head_dim", 5}}, "of which an even number of elements turn"},
      {"nemotron",
       {{"head_dim", 6}, {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}}},
       "of which an even number of elements turn"},
      {"stablelm", {{"head_dim", nullptr}}, "of which an even number of elements turn"},
      {"llama", {{"partial_rotary_factor", 0.5}}, "partial_rotary_factor"},
      {"llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}, "rope_scaling.factor"},
      {"mistral", {{"sliding_window", -1}}, "sliding_window"},
      {"lfm2", {{"layer_types", {"conv", "sliding_attention"}}}, "layer_types"},
      {"lfm2", {{"conv_L_cache", 1}}, "conv_L_cache"},
      {"lfm2", {{"block_ffn_dim_multiplier", -1.0}}, "block_ffn_dim_multiplier"},
      {"qwen3_5_text", {{"head_dim", 8}, {"linear_num_value_heads", 24}}, "linear_num_value_heads"},
      {"qwen3_5_text", {{"head_dim", 8}, {"linear_key_head_dim", 300}}, "linear_key_head_dim"},
      {"bamba", {{"mamba_n_heads", 12}, {"mamba_d_head", 5}}, "mamba_d_head"},
      {"bamba", {{"mamba_n_heads", 12}, {"mamba_n_groups", 5}}, "mamba_n_groups"},
      {"bamba", {{"mamba_n_heads", 12}, {"time_step_limit", {2, 1}}}, "time_step_limit"},
      {"granitemoehybrid",
       {{"mamba_n_heads", 12}, {"shared_intermediate_size", 20}},  // of which the class has 8, if nothing is said
       "num_local_experts"},
      {"ministral", {{"layer_types", {"chunked_attention", "full_attention"}}}, "layer_types"},
      {"qwen2", {{"layer_types", {"full_attention"}}}, "layer_types"},
      {"qwen3", {{"max_window_layers", -1}}, "max_window_layers"},
      {"smollm3", {{"no_rope_layers", {1}}}, "no_rope_layers"},
      {"smollm3", {{"no_rope_layer_interval", 0}}, "no_rope_layer_interval"},
      {"glm", {{"partial_rotary_factor", 1.5}}, "partial_rotary_factor"},
      {"granite", {{"logits_scaling", 0}}, "logits_scaling"},
      {"exaone4", {{"sliding_window_pattern", "LLLG"}}, "sliding_window_pattern"},
      {"exaone4", {{"sliding_window_pattern", 0}}, "sliding_window_pattern"},
      {"llama", {{"is_causal", false}}, "is_causal"},
      {"jais2", {{"hidden_act", "prelu"}}, "hidden_act"},
      {"iquestcoder", {{"use_sliding_window", true}}, "use_sliding_window"},
      {"cwm", {{"layer_types", {"full_attention", "linear_attention"}}}, "layer_types"},
      {"olmo", {{"clip_qkv", -0.5}}, "clip_qkv"},
      {"olmo3", {{"rope_parameters", {{"full_attention", {{"rope_type", "spiral"}}}}}}, "full_attention.rope_type"},
      {"gemma", {{"use_bidirectional_attention", true}}, "use_bidirectional_attention"},
      {"gemma2", {{"attn_logit_softcapping", -1.0}}, "attn_logit_softcapping"},
      {"gemma2", {{"query_pre_attn_scalar", 0}}, "query_pre_attn_scalar"},
      {"gemma3_text", {{"final_logit_softcapping", -1.0}}, "final_logit_softcapping"},
      {"gemma3_text",
       {{"rope_parameters", {{"sliding_attention", {{"rope_theta", 0}}}}}},
       "sliding_attention.rope_theta"},
      {"vaultgemma", {{"hidden_activation", "prelu"}}, "hidden_activation"},
      {"gptj", {{"rotary_dim", 9}}, "rotary_dim"},
      {"gptj", {}, "rotary_dim"},  // 64 elements of heads of 4
      {"codegen", {{"rotary_dim", nullptr}}, "rotary_dim"},
      {"phi3", {{"rope_scaling", {{"type", "longrope"}, {"short_factor", {1.0}}}}}, "rope_scaling.short_factor"},
      {"phi3",
       {{"rope_scaling", {{"type", "su"}, {"short_factor", {1.0, 1.0}}, {"long_factor", {1.0, -1.0}}}}},
       "rope_scaling.long_factor"},
      {"apertus", {{"hidden_act", "prelu"}}, "hidden_act"},
      {"opt", {{"do_layer_norm_before", 1}}, "do_layer_norm_before"},
      {"opt", {{"word_embed_proj_dim", 0}}, "word_embed_proj_dim"},
      {"bloom", {{"apply_residual_connection_post_layernorm", true}}, "apply_residual_connection_post_layernorm"},
      {"gpt_bigcode", {{"scale_attn_weights", false}}, "scale_attn_weights"},
      {"gpt_neo", {{"attention_types", {{{"global"}, 1}}}}, "attention_types"},
      {"gpt_neo", {{"attention_types", "local"}}, "attention_types"},
      {"gpt_neox", {{"rotary_pct", 0.0}}, "rotary_pct"},
      {"mixtral", {{"num_experts_per_tok", 9}}, "num_experts_per_tok"},
      {"mixtral", {{"num_local_experts", 0}}, "num_local_experts"},
      {"qwen2_moe", {{"decoder_sparse_step", 0}}, "decoder_sparse_step"},
      {"qwen2_moe", {{"layer_types", {"sliding_attention", "full_attention"}}}, "layer_types"},
      {"qwen3_moe", {{"moe_intermediate_size", 0}}, "moe_intermediate_size"},
      {"qwen3_moe", {{"norm_topk_prob", 1}}, "norm_topk_prob"},
      {"olmoe", {{"clip_qkv", 0.5}}, "clip_qkv"},
      {"glm4_moe", {{"n_group", 3}}, "n_group"},
      {"glm4_moe", {{"n_group", 128}}, "n_group"},
      {"glm4_moe", {{"n_group", 4}, {"topk_group", 5}}, "topk_group"},
      {"glm4_moe", {{"n_group", 64}, {"topk_group", 2}}, "topk_group"},
      {"glm4_moe", {{"first_k_dense_replace", -1}}, "first_k_dense_replace"},
      {"ernie4_5_moe", {{"moe_layer_interval", 0}}, "moe_layer_interval"},
      {"ernie4_5_moe", {{"moe_layer_end_index", -2}}, "moe_layer_end_index"},
      {"hunyuan_v1_moe", {{"moe_topk", {1}}}, "moe_topk"},
      {"hunyuan_v1_moe", {{"num_experts", {1, 1}}}, "num_experts"},
      {"exaone_moe", {{"mlp_layer_types", {"sparse", "moe"}}}, "mlp_layer_types"},
      {"exaone_moe", {{"mlp_layer_types", {"sparse"}}}, "mlp_layer_types"},
      {"phimoe", {{"num_experts_per_tok", 3}}, "num_experts_per_tok"},
      {"phimoe", {{"rope_scaling", {{"type", "yarn"}, {"factor", 2.0}}}}, "rope_scaling.type"},
      {"gpt_oss", {{"swiglu_limit", 0}}, "swiglu_limit"},
      {"gpt_oss", {{"swiglu_alpha", 1.0}}, "swiglu_alpha"},
  };
  for (const Refusal& r : of_some) {
    json config = common;
    config["model_type"] = r.config;
    EXPECT_THAT(error_of(config, r.changes), AllOf(HasSubstr("config.json"), HasSubstr(r.says)))
        << r.config << r.changes;
  }
}

// Positions of long texts turn otherwise only if it was said that there will be some; a past of the one kind is refused
// by the other.
TEST_F(Load, LongTextsHaveToBeDeclared) {
  const fs::path folder = support::golden_data() / "phi3-longrope-short";
  const Model few = support::load(folder, "cpu", 1), many = support::load(folder, "cpu", 1, {.context = 33});
  EXPECT_TRUE(few.card().context_is_hard);
  EXPECT_EQ(few.card().context, 32);
  EXPECT_FALSE(many.card().context_is_hard);
  EXPECT_EQ(many.card().context, 256);
  const auto ids = support::random_ids(3, 33, few.card().vocab);
  Past past = few.new_past(), other = many.new_past();
  const auto first = std::span(ids).first(32);
  EXPECT_NE(support::feed(few, past, first), support::feed(many, other, first));
  try {
    support::feed(few, past, std::span(ids).last(1));
    ADD_FAILURE() << "a text longer than declared";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("at most 32 tokens"), HasSubstr("--longest-text 256")));
  }
  support::feed(many, other, std::span(ids).last(1));
  EXPECT_NE(many.card().regime, few.card().regime);
}

TEST_F(Load, AContradictionBetweenConfigAndWeightsIsAnError) {
  const std::vector<float> data(48);
  const auto bytes = std::as_bytes(std::span(data));
  const containers::Tensor wte{.name = "wte.weight", .dtype = DType::f32, .shape = {7, 6}, .data = bytes.first(42 * 4)};
  const containers::Tensor bias{
      .name = "blocks.0.norm_1.bias", .dtype = DType::f32, .shape = {6}, .data = bytes.first(6 * 4)};
  EXPECT_THAT(error_of(kMpt, {{"no_bias", true}}, {wte, bias}),
              AllOf(HasSubstr("contradict each other"), HasSubstr("blocks.0.norm_1.bias")));
}

// Weights that were copied from their file, whatever their format, give the bits of those that are read in it.
TEST_F(Load, CopiedWeightsAreTheSame) {
  for (const char* name : {"llama-grouped", "gpt2-plain", "gemma3-wrapped", "bloom-plain"}) {
    for (const bool few_bits : {false, true}) {
      LoadOptions plain, copied{.copied = true};
      if (few_bits) plain.quantize = copied.quantize = Quantize{.format = quant::Format::int8};
      const fs::path folder = support::golden_data() / name;
      const Model there = support::load(folder, "cpu", 1, plain), here = support::load(folder, "cpu", 1, copied);
      const auto ids = support::random_ids(5, 20, there.card().vocab);
      Past past = there.new_past(), other = here.new_past();
      EXPECT_EQ(support::feed(there, past, ids), support::feed(here, other, ids)) << name;
    }
  }
}

// A model inside a larger one is computed alone, which is said; so is a stored table of other frequencies.
TEST_F(Load, WhatIsNotComputedIsSaid) {
  const Model wrapped = support::load(support::golden_data() / "gemma3-wrapped", "cpu", 1);
  EXPECT_THAT(wrapped.notes(),
              Contains(HasSubstr("vision_config: of this model the language model alone is computed")));
  const fs::path original = support::golden_data() / "llama-grouped";
  const auto notes_with = [&](float factor) {
    fs::copy_file(original / "config.json", folder_ / "config.json", fs::copy_options::overwrite_existing);
    const containers::SafeTensors file = containers::SafeTensors::open(original / "model.safetensors");
    std::vector<float> frequencies;
    for (int i = 0; i < 4; ++i) frequencies.push_back(factor * static_cast<float>(std::pow(1e4, -i / 4.)));
    std::vector<containers::Tensor> tensors(file.tensors().begin(), file.tensors().end());
    tensors.push_back({.name = "model.layers.0.self_attn.rotary_emb.inv_freq",
                       .dtype = DType::f32,
                       .shape = {4},
                       .data = std::as_bytes(std::span(frequencies))});
    containers::write_safetensors(folder_ / "model.safetensors", tensors, {});
    const Model model = support::load(folder_, "cpu", 1);
    return std::vector<std::string>(model.notes().begin(), model.notes().end());
  };
  EXPECT_THAT(notes_with(1), IsEmpty());
  EXPECT_THAT(notes_with(2),
              ElementsAre(HasSubstr("rotary_emb.inv_freq' holds other frequencies than config.json says")));
}

// What transformers 4 called rope_scaling may say the default by its name, with a base of its own.
TEST_F(Load, RopeScalingMayBeTheDefault) {
  const hf::Folder folder = hf::Folder::open(support::golden_data() / "falcon-7b-shape");
  const auto theta_of = [&](const json& changes) {
    json config = json::parse(read_file(folder.path() / "config.json", 1 << 20));
    config.update(changes);
    write_file(folder_ / "config.json", config.dump());
    fs::copy_file(folder.path() / "model.safetensors", folder_ / "model.safetensors", fs::copy_options::skip_existing);
    return inspect(hf::Folder::open(folder_)).card.rotary_theta;
  };
  EXPECT_EQ(theta_of({{"rope_scaling", {{"rope_type", "default"}, {"rope_theta", 5000}}}}), 5000);
  EXPECT_EQ(theta_of({{"rope_scaling", {{"type", "default"}}}, {"rope_theta", 7000}}), 7000);
  EXPECT_EQ(theta_of({{"rope_scaling", json::object()}, {"rope_parameters", {{"rope_theta", 3000}}}}), 3000);
  EXPECT_EQ(theta_of({{"rope_scaling", nullptr}, {"rope_parameters", {{"rope_theta", 3000}}}}), 3000);
}

// One page by several names.
TEST_F(Load, RobertaByOtherNames) {
  const hf::Folder folder = hf::Folder::open(support::golden_data() / "roberta-decoder");
  fs::copy_file(folder.path() / "model.safetensors", folder_ / "model.safetensors");
  for (const char* name : {"camembert", "xlm-roberta"}) {
    json config = json::parse(read_file(folder.path() / "config.json", 1 << 20));
    config["model_type"] = name;
    write_file(folder_ / "config.json", config.dump());
    const Inspection found = inspect(hf::Folder::open(folder_));
    EXPECT_EQ(found.card.model_type, name);
    EXPECT_EQ(found.card.family, "RoBERTa");
    EXPECT_EQ(found.notes, inspect(folder).notes);
  }
}

// No format of 8 or 4 bits holds NaN or infinity; whoever reads the report has to know that there were some.
TEST_F(Load, ValuesThatNoFormatHoldsAreNoted) {
  const fs::path plain = support::golden_data() / "gpt2-plain";
  const hf::Folder folder = hf::Folder::open(plain);
  std::vector<containers::Tensor> tensors(folder.tensors().begin(), folder.tensors().end());
  const auto at = std::ranges::find(tensors, "transformer.h.0.mlp.c_fc.weight", &containers::Tensor::name);
  ASSERT_NE(at, tensors.end());
  ASSERT_EQ(at->dtype, DType::f32);
  std::vector<float> values(at->data.size() / sizeof(float));
  std::memcpy(values.data(), at->data.data(), at->data.size());
  values[1] = values[7] = std::numeric_limits<float>::quiet_NaN();
  values.back() = -std::numeric_limits<float>::infinity();
  at->data = std::as_bytes(std::span(values));
  fs::copy_file(plain / "config.json", folder_ / "config.json");
  containers::write_safetensors(folder_ / "model.safetensors", tensors, {});
  for (const quant::Format format : {quant::Format::int8, quant::Format::fp4, quant::Format::nf4}) {
    const LoadOptions options{.quantize = Quantize{.format = format}};
    const std::string expected = fmt::format(
        "tensor '{}': 3 values are NaN or infinite, which {} cannot hold: other numbers stand in their place", at->name,
        quant::name_of(format));
    EXPECT_THAT(support::load(folder_, "naive", 1, options).notes(), testing::Contains(expected));
    EXPECT_THAT(support::load(plain, "naive", 1, options).notes(), testing::Not(testing::Contains(HasSubstr("NaN"))));
  }
}

// Every registered family is reachable by each of its names, and by nothing else.
TEST_F(Load, TheListIsComplete) {
  for (const Architecture& a : architectures()) {
    for (const std::string_view type : a.model_types) {
      const std::string e = error_of({{"model_type", std::string(type)}}, {});
      EXPECT_THAT(e, AllOf(HasSubstr("config.json"), testing::Not(HasSubstr("unknown model_type")))) << type;
    }
  }
}

}  // namespace
}  // namespace pkv::model
