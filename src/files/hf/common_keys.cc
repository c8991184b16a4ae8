#include "files/hf/common_keys.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "base/json.h"

namespace pkv::hf {
namespace {

// From PreTrainedConfig and GenerationConfig of transformers 5, PretrainedConfig of transformers 4, and what tools
// leave in files on the Hub.
constexpr auto kKeys = std::to_array<CommonKey>({
    // Where the file comes from.
    {"_commit_hash", "revision on the Hub"},
    {"_name_or_path", "where it was loaded from"},
    {"architectures", "class names"},
    {"auto_map", "classes of remote code, which pkv does not run"},
    {"custom_pipelines", "pipelines of remote code, which pkv does not run"},
    {"name_or_path", "where it was loaded from"},
    {"tokenizer_class", "class name"},
    {"transformers.js_config", "settings of another program"},
    {"transformers_version", "version that wrote it"},
    {"unsloth_fixed", "mark of a tool"},
    {"unsloth_version", "version of a tool"},

    // The weights say their own dtype.
    {"dtype", "dtype at training or saving"},
    {"torch_dtype", "dtype at training or saving"},
    {"use_bfloat16", "TensorFlow only"},

    // What a call returns and which implementation computes it.
    {"_attn_implementation", "choice among equal implementations"},
    {"_attn_implementation_autoset", "choice among equal implementations"},
    {"_attn_implementation_internal", "choice among equal implementations"},
    {"_experts_implementation", "choice among equal implementations"},
    {"_experts_implementation_internal", "choice among equal implementations"},
    {"attn_implementation", "choice among equal implementations"},
    {"chunk_size_feed_forward", "rows of the MLP at a time"},
    {"experts_implementation", "choice among equal implementations"},
    {"gradient_checkpointing", "training"},
    {"output_attentions", "what a call returns"},
    {"output_hidden_states", "what a call returns"},
    {"output_past", "what a call returns"},
    {"return_dict", "what a call returns"},
    {"tie_last_hidden_states", "which of the hidden states a call returns"},
    {"torchscript", "export"},
    {"use_cache", "whether a call returns past key values; pkv decides by itself"},
    {"use_return_dict", "what a call returns"},
    {"xla_device", "device"},

    // Heads other than the language model's.
    {"_num_labels", "classification"},
    {"finetuning_task", "classification"},
    {"id2label", "classification"},
    {"label2id", "classification"},
    {"num_labels", "classification"},
    {"problem_type", "classification"},
    {"prefix", "text that a pipeline puts before the prompt"},
    {"task_specific_params", "settings of pipelines"},

    // An encoder with a decoder: without cross-attention the rest of its settings has no effect.
    {"add_cross_attention", "cross-attention", Accept::only_false},
    {"is_causal", "attention that sees later tokens", Accept::only_true},
    {"cross_attention_hidden_size", "cross-attention", Accept::only_absent},
    {"decoder_start_token_id", "generation by an encoder-decoder"},
    {"is_encoder_decoder", "an encoder with a decoder", Accept::only_false},
    {"tie_encoder_decoder", "an encoder with a decoder"},

    // Weights in another form, or another config than this file.
    {"compression_config", "compressed weights", Accept::only_absent},
    {"configuration_files", "config files by version of transformers", Accept::only_empty},
    {"per_layer_config", "settings by layer", Accept::only_empty},
    {"pruned_heads", "heads taken out", Accept::only_empty},
    {"quantization", "quantized weights (MLX)", Accept::only_absent},
    {"sparsity_config", "sparse weights", Accept::only_absent},

    // Generation, from before it had its own file: these act on the logits' use, not on the logits.
    {"assistant_confidence_threshold", "generation"},
    {"assistant_early_exit", "generation"},
    {"assistant_ensemble_weight", "generation"},
    {"assistant_lookbehind", "generation"},
    {"bad_words_ids", "generation"},
    {"begin_suppress_tokens", "generation"},
    {"cache_config", "generation"},
    {"cache_implementation", "generation"},
    {"compile_config", "generation"},
    {"constraints", "generation"},
    {"continuous_batching_config", "generation"},
    {"disable_compile", "generation"},
    {"diversity_penalty", "generation"},
    {"do_sample", "generation"},
    {"dola_layers", "generation"},
    {"early_stopping", "generation"},
    {"encoder_no_repeat_ngram_size", "generation"},
    {"encoder_repetition_penalty", "generation"},
    {"epsilon_cutoff", "generation"},
    {"eta_cutoff", "generation"},
    {"exponential_decay_length_penalty", "generation"},
    {"force_words_ids", "generation"},
    {"forced_bos_token_id", "generation"},
    {"forced_eos_token_id", "generation"},
    {"guidance_scale", "generation"},
    {"is_assistant", "generation"},
    {"length_penalty", "generation"},
    {"low_memory", "generation"},
    {"max_cache_len", "generation"},
    {"max_length", "generation"},
    {"max_matching_ngram_size", "generation"},
    {"max_new_tokens", "generation"},
    {"max_time", "generation"},
    {"min_length", "generation"},
    {"min_new_tokens", "generation"},
    {"min_p", "generation"},
    {"no_repeat_ngram_size", "generation"},
    {"num_assistant_tokens", "generation"},
    {"num_assistant_tokens_schedule", "generation"},
    {"num_beam_groups", "generation"},
    {"num_beams", "generation"},
    {"num_return_sequences", "generation"},
    {"output_logits", "generation"},
    {"output_scores", "generation"},
    {"penalty_alpha", "generation"},
    {"prefill_chunk_size", "generation"},
    {"prompt_lookup_num_tokens", "generation"},
    {"remove_invalid_values", "generation"},
    {"renormalize_logits", "generation"},
    {"repetition_penalty", "generation"},
    {"return_dict_in_generate", "generation"},
    {"cls_token_id", "tokenization"},
    {"mask_token_id", "tokenization"},
    {"sep_token_id", "tokenization"},
    {"unk_token_id", "tokenization"},
    {"sequence_bias", "generation"},
    {"speculation_type", "generation"},
    {"stop_strings", "generation"},
    {"suppress_tokens", "generation"},
    {"target_lookbehind", "generation"},
    {"temperature", "generation"},
    {"token_healing", "generation"},
    {"top_h", "generation"},
    {"top_k", "generation"},
    {"top_p", "generation"},
    {"typical_p", "generation"},
    {"use_mtp", "generation"},
    {"watermarking_config", "generation"},
});

bool accepted(const Json& value, Accept accept) {
  switch (accept) {
    case Accept::any:
      return true;
    case Accept::only_false:
      return value.is_flag() && !value.flag();
    case Accept::only_true:
      return value.is_flag() && value.flag();
    case Accept::only_empty:
      return (value.is_array() || value.is_object()) && value.empty();
    case Accept::only_absent:
      return false;
  }
  return false;
}

std::string expected_of(const CommonKey& row) {
  switch (row.accept) {
    case Accept::only_false:
      return fmt::format("false, or nothing: {}", row.what);
    case Accept::only_true:
      return fmt::format("true, or nothing: {}", row.what);
    case Accept::only_empty:
      return fmt::format("nothing, or an empty value: {}", row.what);
    default:
      return fmt::format("nothing: {}", row.what);
  }
}

}  // namespace

std::span<const CommonKey> common_keys() { return kKeys; }

void accept_common_keys(const Config& config) {
  for (const CommonKey& row : kKeys) {
    const Json* value = config.value({row.key});
    if (value != nullptr && !accepted(*value, row.accept)) config.unsupported(row.key, expected_of(row));
  }
}

}  // namespace pkv::hf
