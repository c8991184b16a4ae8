#include "engine/generate/defaults.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.h"
#include "base/json.h"

namespace pkv::generate {
namespace {

constexpr std::int64_t kMostTokens = std::numeric_limits<std::int32_t>::max();

// Settings that change which tokens come out, and the value at which they do not.
struct Neutral {
  std::string_view key;
  double value;
};
constexpr auto kNotDone = std::to_array<Neutral>({
    {"assistant_ensemble_weight", -1},
    {"bad_words_ids", 0},
    {"begin_suppress_tokens", 0},
    {"constraints", 0},
    {"dola_layers", 0},
    {"encoder_no_repeat_ngram_size", 0},
    {"encoder_repetition_penalty", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"exponential_decay_length_penalty", 0},
    {"force_words_ids", 0},
    {"forced_bos_token_id", -1},
    {"forced_decoder_ids", 0},
    {"forced_eos_token_id", -1},
    {"guidance_scale", 1},
    {"max_time", -1},
    {"min_length", 0},
    {"min_new_tokens", 0},
    {"no_repeat_ngram_size", 0},
    {"num_beam_groups", 1},
    {"num_beams", 1},
    {"penalty_alpha", 0},
    {"sequence_bias", 0},
    {"suppress_tokens", 0},
    {"token_healing", 0},
    {"top_h", -1},
    {"typical_p", 1},
    {"watermarking_config", 0},
});

// What changes no token, here or at all: beams' settings are among them, for beams are refused, and those of drafted
// tokens, which the model verifies. The keys are those of transformers 5.24 (generation/configuration_utils.py).
constexpr auto kWithoutEffect = std::to_array<std::string_view>({
    "_commit_hash",
    "_from_model_config",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_lookbehind",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "continuous_batching_config",
    "decoder_start_token_id",
    "disable_compile",
    "diversity_penalty",
    "early_stopping",
    "is_assistant",
    "length_penalty",
    "low_memory",
    "max_cache_len",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "pad_token_id",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "remove_invalid_values",
    "renormalize_logits",
    "return_dict_in_generate",
    "return_legacy_cache",
    "speculation_type",
    "target_lookbehind",
    "transformers_version",
    "use_cache",
    "use_mtp",
});

constexpr const char* kWithout = "--no-generation-config takes the end-of-text tokens alone from the model's files";

bool neutral(const Json& value, double at) {
  if (value.is_null() || ((value.is_array() || value.is_object()) && value.empty())) return true;
  if (value.is_flag()) return !value.flag();
  return value.is_number() && value.number() == at;
}

void refuse_what_is_not_done(const hf::Config& config) {
  for (const auto& [key, at] : kNotDone) {
    const auto* value = config.value({key});
    if (value == nullptr || neutral(*value, at)) continue;
    fail_load({.what = "asks for what pkv does not do when it generates",
               .where = fmt::format("{}: {}", config.file(), key),
               .expected = at < 0 ? "null" : fmt::format("null or {:g}", at),
               .found = value->dump(-1, true).substr(0, 60)});
  }
  const auto* cache = config.value({"cache_implementation"});  // all others keep what they are given
  if (cache == nullptr || !cache->is_text() || cache->text() != "quantized") return;
  fail_load({.what = "asks for a past of fewer bits than pkv has",
             .where = config.file() + ": cache_implementation",
             .expected = "null or another cache",
             .found = "\"quantized\""});
}

std::optional<std::int64_t> count(const hf::Config& config, std::string_view key, std::int64_t most = kMostTokens) {
  return config.integer_or_none({key}, 1, most);
}

std::vector<std::int32_t> token_ids(const hf::Config& config, std::string_view key) {
  std::vector<std::int32_t> ids;
  for (const std::int64_t id : config.integers({key}, -1, kMostTokens)) ids.push_back(static_cast<std::int32_t>(id));
  std::erase(ids, -1);  // as some files say that there is none
  return ids;
}

Sampling sampling_of(const hf::Config& config) {
  Sampling s;
  s.do_sample = config.flag_or_none({"do_sample"}).value_or(s.do_sample);
  s.temperature = config.number_or_none({"temperature"}).value_or(s.temperature);
  s.top_k = config.integer_or_none({"top_k"}, 0, kMostTokens).value_or(s.top_k);
  s.top_p = config.number_or_none({"top_p"}).value_or(s.top_p);
  s.min_p = config.number_or_none({"min_p"}).value_or(s.min_p);
  s.repetition_penalty = config.number_or_none({"repetition_penalty"}).value_or(s.repetition_penalty);
  require_valid(s);
  return s;
}

// A single text counts as a list of one.
std::vector<std::string> stop_strings(const hf::Config& config) {
  const auto* value = config.value({"stop_strings"});
  const bool single = value != nullptr && value->is_text();
  std::vector<std::string> texts = single ? std::vector{value->text()} : config.texts({"stop_strings"});
  if (std::ranges::count(texts, "") == 0) return texts;
  fail_load({.what = "an empty stop text would stop at once", .where = config.file() + ": stop_strings"});
}

void read_settings(const hf::Config& config, Defaults& d) {
  refuse_what_is_not_done(config);
  d.options.sampling = sampling_of(config);
  d.options.num_sequences = count(config, "num_return_sequences", kMostSequences).value_or(1);
  d.max_new_tokens = count(config, "max_new_tokens");
  d.max_length = count(config, "max_length");
  d.stop_strings = stop_strings(config);
}

}  // namespace

Defaults defaults_of(const model::Model& model, bool settings) {
  const hf::Config* own = model.source().generation_config();
  const hf::Config& config = own != nullptr ? *own : model.source().config();
  Defaults d;
  d.file = config.file();
  d.options.eos_token_id = token_ids(config, "eos_token_id");
  const auto bos = token_ids(config, "bos_token_id");
  if (!bos.empty()) d.bos_token_id = bos.front();
  if (!settings) return d;
  try {
    read_settings(config, d);
  } catch (const Error& e) {  // whatever it is, it is the file's fault
    Error::Text text = e.text();
    if (text.where.empty()) text.where = config.file();
    text.hint = kWithout;
    fail_load(text);
  }
  if (own == nullptr) return d;  // config.json's other keys are the model's affair
  for (const std::string_view key : kWithoutEffect) own->without_effect({key});
  for (const std::string& key : own->unread()) {
    d.notes.push_back(fmt::format("{}: unknown key ignored: {}", d.file, key));
  }
  return d;
}

NewTokens default_new_tokens(const Defaults& defaults, const model::Card& card, std::int64_t prompt_tokens) {
  const bool total = !defaults.max_new_tokens && defaults.max_length;
  const std::int64_t said = total ? *defaults.max_length : defaults.max_new_tokens.value_or(Options{}.max_new_tokens);
  const std::int64_t asked = total ? said - prompt_tokens : said, room = room_after(card, prompt_tokens);
  NewTokens tokens{.count = std::max<std::int64_t>(1, std::min(asked, room))};
  if (tokens.count == asked || (!total && !defaults.max_new_tokens)) return tokens;
  tokens.note = fmt::format("{}: {} {} with a prompt of {} tokens{}: {} to write", defaults.file,
                            total ? "max_length" : "max_new_tokens", said, prompt_tokens,
                            asked > room ? fmt::format(" and a context of {}", card.context) : "", tokens.count);
  return tokens;
}

}  // namespace pkv::generate
