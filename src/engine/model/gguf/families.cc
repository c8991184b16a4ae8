#include "engine/model/gguf/families.h"

#include <algorithm>
#include <array>

namespace pkv::model {
namespace {

constexpr arch::TensorNames kGpt2{.prefix = "transformer.",
                                  .layer = "h.",
                                  .embedding = "wte",
                                  .norm = "ln_f",
                                  .positions = "wpe",
                                  .before_attention = "ln_1",
                                  .before_mlp = "ln_2",
                                  .out = "attn.c_proj",
                                  .qkv = "attn.c_attn",
                                  .gate = "",
                                  .up = "mlp.c_fc",
                                  .down = "mlp.c_proj"};
constexpr arch::TensorNames kMpt{.prefix = "transformer.",
                                 .layer = "blocks.",
                                 .embedding = "wte",
                                 .norm = "norm_f",
                                 .before_attention = "norm_1",
                                 .before_mlp = "norm_2",
                                 .out = "attn.out_proj",
                                 .qkv = "attn.Wqkv",
                                 .gate = "",
                                 .up = "ffn.up_proj",
                                 .down = "ffn.down_proj"};
constexpr arch::TensorNames kFalcon{.prefix = "transformer.",
                                    .layer = "h.",
                                    .embedding = "word_embeddings",
                                    .norm = "ln_f",
                                    .out = "self_attention.dense",
                                    .qkv = "self_attention.query_key_value",
                                    .gate = "",
                                    .up = "mlp.dense_h_to_4h",
                                    .down = "mlp.dense_4h_to_h"};

constexpr auto kFamilies = std::to_array<GgufFamily>({
    {.architecture = "llama", .model_type = "llama", .permuted = true},
    {.architecture = "mistral3", .model_type = "ministral3", .permuted = true},
    {.architecture = "qwen2", .model_type = "qwen2"},
    {.architecture = "qwen3", .model_type = "qwen3"},
    {.architecture = "lfm2", .model_type = "lfm2"},
    {.architecture = "smollm3", .model_type = "smollm3", .permuted = true},
    {.architecture = "seed_oss", .model_type = "seed_oss"},
    {.architecture = "exaone", .model_type = "exaone"},
    {.architecture = "exaone4", .model_type = "exaone4", .full_each = 4},
    {.architecture = "granite", .model_type = "granite", .permuted = true},
    {.architecture = "arcee", .model_type = "arcee", .permuted = true},
    {.architecture = "jais2", .model_type = "jais2"},
    {.architecture = "nemotron", .model_type = "nemotron"},
    {.architecture = "ernie4_5", .model_type = "ernie4_5"},
    {.architecture = "hunyuan-dense", .model_type = "hunyuan_v1_dense"},
    {.architecture = "olmo", .model_type = "olmo", .permuted = true, .permuted_biases = false},
    {.architecture = "olmo2", .model_type = "olmo2", .full_each = 4, .windowed = "olmo3"},
    {.architecture = "chatglm", .model_type = "glm"},
    {.architecture = "glm4", .model_type = "glm4"},
    {.architecture = "phi3", .model_type = "phi3"},
    {.architecture = "starcoder2", .model_type = "starcoder2"},
    {.architecture = "gemma", .model_type = "gemma"},
    {.architecture = "gemma2", .model_type = "gemma2", .full_each = 2},
    {.architecture = "gemma3", .model_type = "gemma3_text", .full_each = 6},
    {.architecture = "stablelm", .model_type = "stablelm"},
    {.architecture = "command-r", .model_type = "cohere"},
    {.architecture = "cohere2", .model_type = "cohere2", .full_each = 4},
    {.architecture = "gptneox", .model_type = "gpt_neox"},
    {.architecture = "phi2", .model_type = "phi"},
    {.architecture = "apertus", .model_type = "apertus"},
    {.architecture = "bloom", .model_type = "bloom"},
    {.architecture = "starcoder", .model_type = "gpt_bigcode"},
    {.architecture = "gpt2", .model_type = "gpt2", .names = &kGpt2},
    {.architecture = "falcon", .model_type = "falcon", .names = &kFalcon},
    {.architecture = "mpt", .model_type = "mpt", .names = &kMpt},
});

}  // namespace

const arch::Row* GgufFamily::row() const {
  const std::span<const arch::Row> rows = arch::rows();
  const auto at = std::ranges::find(rows, model_type, &arch::Row::model_type);
  return at == rows.end() ? nullptr : &*at;
}

std::span<const GgufFamily> gguf_families() { return kFamilies; }

}  // namespace pkv::model
