#include "engine/generate/defaults.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/json.h"

namespace pkv::generate {
namespace {

constexpr std::int64_t kMostTokens = std::numeric_limits<std::int32_t>::max();

// Settings that change which tokens come out, and the value at which they do not.
enum class Acts : std::uint8_t {
  always,
  drawing,      // on draws
  contrastive,  // where the best of top_k tokens is taken, with the penalty of contrastive search
};
struct Neutral {
  std::string_view key;
  double value;
  Acts acts = Acts::always;
};
constexpr auto kNotDone = std::to_array<Neutral>({
    {"bad_words_ids", 0},
    {"begin_suppress_tokens", 0},
    {"constraints", 0},
    {"dola_layers", 0},
    {"encoder_no_repeat_ngram_size", 0},
    {"encoder_repetition_penalty", 1},
    {"epsilon_cutoff", 0, Acts::drawing},
    {"eta_cutoff", 0, Acts::drawing},
    {"exponential_decay_length_penalty", 0},
    {"force_words_ids", 0},
    {"forced_decoder_ids", 0},
    {"forced_eos_token_id", -1},
    {"guidance_scale", 1},
    {"max_time", -1},
    {"min_new_tokens", 0},
    {"no_repeat_ngram_size", 0},
    {"num_beams", 1},
    {"penalty_alpha", 0, Acts::contrastive},
    {"sequence_bias", 0},
    {"suppress_tokens", 0},
    {"token_healing", 0},
    {"top_h", -1, Acts::drawing},
    {"typical_p", 1, Acts::drawing},
    {"watermarking_config", 0},
});

// What changes no token, here or at all: beams' settings are among them, for beams are refused, and those of drafted
// tokens, which the model verifies. The keys are those of transformers 5.24 (generation/configuration_utils.py).
constexpr auto kWithoutEffect = std::to_array<std::string_view>({
    "_commit_hash",
    "_from_model_config",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_ensemble_weight",
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
    "num_beam_groups",
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

[[noreturn]] void refuse(const std::string& file, std::string_view key, std::string expected, std::string found) {
  fail_load({.what = "asks for what pkv does not do when it generates",
             .where = fmt::format("{}: {}", file, key),
             .expected = std::move(expected),
             .found = std::move(found),
             .hint = kWithout});
}

void refuse_what_is_not_done(const hf::Config& config, const Defaults& d) {
  const Sampling& s = d.options.sampling;
  for (const auto& [key, at, acts] : kNotDone) {
    const auto* value = config.value({key});
    if (value == nullptr || neutral(*value, at)) continue;
    if (acts == Acts::drawing && !s.do_sample) continue;
    if (acts == Acts::contrastive && (s.do_sample || s.top_k <= 1)) continue;
    if (key == "min_new_tokens" && d.options.eos_token_id.empty()) continue;  // nothing ends the text anyway
    refuse(config.file(), key, at < 0 ? "null" : fmt::format("null or {:g}", at), value->dump(-1, true).substr(0, 60));
  }
  const auto* cache = config.value({"cache_implementation"});  // all others keep what they are given
  if (cache == nullptr || !cache->is_text() || cache->text() != "quantized") return;
  fail_load({.what = "asks for a past of fewer bits than pkv has",
             .where = config.file() + ": cache_implementation",
             .expected = "null or another cache",
             .found = "\"quantized\""});
}

// A whole number with a fraction of zero, 45.0, is one to transformers, and to those who write such files.
bool is_whole(const Json& value, std::int64_t least, std::int64_t most) {
  if (!value.is_number() || value.is_integer()) return false;
  const double n = value.number();
  return n == std::floor(n) && n >= static_cast<double>(least) && n <= static_cast<double>(most);
}

std::optional<std::int64_t> whole(const hf::Config& config, std::string_view key, std::int64_t least,
                                  std::int64_t most) {
  const Json* value = config.value({key});
  if (value != nullptr && is_whole(*value, least, most)) return static_cast<std::int64_t>(value->number());
  return config.integer_or_none({key}, least, most);
}

std::vector<std::int32_t> token_ids(const hf::Config& config, std::string_view key) {
  std::vector<std::int32_t> ids;
  const Json* value = config.value({key});
  if (value == nullptr) return ids;
  const Json::Array all = value->is_array() ? value->elements() : Json::Array{*value};
  if (std::ranges::all_of(all,
                          [](const Json& id) { return is_whole(id, -1, kMostTokens) || id.fits(-1, kMostTokens); })) {
    for (const Json& id : all) ids.push_back(static_cast<std::int32_t>(id.number()));
  } else {
    config.integers({key}, -1, kMostTokens);  // says which of them is none
  }
  std::erase(ids, -1);  // as some files say that there is none
  return ids;
}

// Reads settings one by one: a wrong one is an error where it has an effect, and a note elsewhere.
class Settings {
 public:
  Settings(const hf::Config& config, Defaults& defaults) : config_(config), defaults_(defaults) {}

  template <class Read>
  void take(std::string_view key, bool has_effect, Read read) {
    try {
      Sampling one;
      read(one);
      require_valid(one);
      read(defaults_.options.sampling);
    } catch (const Error& e) {
      if (has_effect) throw;
      config_.without_effect({key});
      defaults_.notes.push_back(
          fmt::format("{}: {}: has no effect here, and would be refused: {}", config_.file(), key, e.text().found));
    }
  }

 private:
  const hf::Config& config_;
  Defaults& defaults_;
};

void read_sampling(const hf::Config& config, const Given& given, Defaults& d) {
  Settings settings(config, d);
  settings.take("do_sample", !given.do_sample,
                [&](Sampling& s) { s.do_sample = config.flag_or_none({"do_sample"}).value_or(s.do_sample); });
  if (given.do_sample) d.options.sampling.do_sample = *given.do_sample;
  const bool draws = d.options.sampling.do_sample;
  settings.take("temperature", draws && !given.temperature,
                [&](Sampling& s) { s.temperature = config.number_or_none({"temperature"}).value_or(s.temperature); });
  settings.take("top_k", draws && !given.top_k,
                [&](Sampling& s) { s.top_k = whole(config, "top_k", 0, kMostTokens).value_or(s.top_k); });
  settings.take("top_p", draws && !given.top_p,
                [&](Sampling& s) { s.top_p = config.number_or_none({"top_p"}).value_or(s.top_p); });
  settings.take("min_p", draws && !given.min_p,
                [&](Sampling& s) { s.min_p = config.number_or_none({"min_p"}).value_or(s.min_p); });
  settings.take("repetition_penalty", !given.repetition_penalty, [&](Sampling& s) {
    s.repetition_penalty = config.number_or_none({"repetition_penalty"}).value_or(s.repetition_penalty);
  });
}

// A single text counts as a list of one.
std::vector<std::string> stop_strings(const hf::Config& config) {
  const auto* value = config.value({"stop_strings"});
  const bool single = value != nullptr && value->is_text();
  std::vector<std::string> texts = single ? std::vector{value->text()} : config.texts({"stop_strings"});
  if (std::ranges::count(texts, "") == 0) return texts;
  fail_load({.what = "an empty stop text would stop at once", .where = config.file() + ": stop_strings"});
}

void read_settings(const hf::Config& config, const Given& given, Defaults& d) {
  Settings settings(config, d);
  read_sampling(config, given, d);
  refuse_what_is_not_done(config, d);
  settings.take("num_return_sequences", !given.num_sequences, [&](Sampling&) {
    d.options.num_sequences = whole(config, "num_return_sequences", 1, kMostSequences).value_or(1);
  });
  settings.take("max_new_tokens", !given.max_new_tokens,
                [&](Sampling&) { d.max_new_tokens = whole(config, "max_new_tokens", 1, kMostTokens); });
  settings.take("max_length", !given.max_new_tokens && !d.max_new_tokens,
                [&](Sampling&) { d.max_length = whole(config, "max_length", 1, kMostTokens); });
  settings.take("stop_strings", !given.stop, [&](Sampling&) { d.stop_strings = stop_strings(config); });
  const bool ends = !d.options.eos_token_id.empty();
  settings.take("min_length", ends, [&](Sampling&) {
    const auto least = whole(config, "min_length", 0, kMostTokens);
    d.min_length = ends ? least.value_or(0) : 0;
  });
  d.forced_bos = !token_ids(config, "forced_bos_token_id").empty();
}

}  // namespace

void require_done(const Defaults& d, std::int64_t prompt_tokens) {
  if (d.min_length > prompt_tokens) {
    refuse(d.file, "min_length", fmt::format("at most {}, the tokens of the prompt", prompt_tokens),
           std::to_string(d.min_length));
  }
  if (d.forced_bos && prompt_tokens == 1)
    refuse(d.file, "forced_bos_token_id", "null, with a prompt of 1 token", "an id");
}

Defaults defaults_of(const model::Model& model, const Given& given) {
  const hf::Config* own = model.source().generation_config();
  const hf::Config& config = own != nullptr ? *own : model.source().config();
  Defaults d;
  d.file = config.file();
  d.options.eos_token_id = token_ids(config, "eos_token_id");
  const auto bos = token_ids(config, "bos_token_id");
  if (!bos.empty()) d.bos_token_id = bos.front();
  if (given.ignore_eos) d.options.eos_token_id.clear();
  if (!given.settings) return d;
  try {
    read_settings(config, given, d);
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
  if (asked < 1) {
    fail_usage({.what = "the prompt is as long already as max_length lets prompt and text be together",
                .where = defaults.file + ": max_length",
                .expected = fmt::format("a prompt of at most {} tokens", said - 1),
                .found = fmt::format("{} tokens", prompt_tokens),
                .hint = "--new-tokens 20, or as many as you want"});
  }
  NewTokens tokens{.count = std::max<std::int64_t>(1, std::min(asked, room))};
  if (tokens.count == asked || (!total && !defaults.max_new_tokens)) return tokens;
  tokens.note = fmt::format("{}: {} {} with a prompt of {} tokens{}: {} to write", defaults.file,
                            total ? "max_length" : "max_new_tokens", said, prompt_tokens,
                            asked > room ? fmt::format(" and a context of {}", card.context) : "", tokens.count);
  return tokens;
}

}  // namespace pkv::generate
