#include "models/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <system_error>

#include "base/caches.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/model/architectures.h"
#include "engine/model/model.h"
#include "engine/model/open_source.h"
#include "engine/model/outline.h"
#include "files/gguf/gguf.h"
#include "files/hf/hf.h"
#include "models/way_round.h"
#include "subjects/faults.h"
#include "terminal/progress.h"
#include "terminal/say.h"

namespace pkv::program {

namespace fs = std::filesystem;

namespace {

// How int8 weights are multiplied; whether there are any is known when the model is loaded.
void require_int8(const model::Model& model, const EngineOptions& options) {
  const bool threshold = options.int8_threshold.has_value(), call = options.int8_outliers == "call";
  if (model.weights().splits_outliers() || (!threshold && !call)) return;
  fail_usage({.what = "this has no meaning here",
              .where = threshold ? "--int8-threshold" : "--int8-outliers call",
              .expected = "weights in int8",
              .found = std::string(model.weights().format()),
              .hint = "--load-in int8, or without this option"});
}

}  // namespace

namespace {

// A model that the engine runs.
std::unique_ptr<const model::Source> open_model(const fs::path& folder) try {
  std::unique_ptr<const model::Source> opened = model::open_source(folder);
  model::architecture_of(opened->config());
  return opened;
} catch (const Error& e) {
  throw with_way_round(e, folder);
}

}  // namespace

namespace {

// Half of the memory has room for the weights.
bool fits_in_memory(const model::Source& source) {
  std::uint64_t bytes = 0;
  for (const containers::Tensor& t : source.tensors()) bytes += t.data.size();
  return bytes <= available_memory() / 2;
}

}  // namespace

model::Model load_model(const fs::path& folder, const EngineOptions& options) {
  model::LoadOptions formats = options.load_options();
  std::unique_ptr<const model::Source> opened = open_model(folder);
  formats.copied = options.reads_often && fits_in_memory(*opened);
  if (const std::string changed = subjects::load_as(options.as, *opened, formats); !changed.empty()) note(changed);
  if (formats.quantize) {
    formats.progress =
        progress_bar(fmt::format("{} in {}", hf::display_name(folder), quant::name_of(formats.quantize->format)));
  }
  model::Model model = model::load(std::move(opened), options.open(), formats);
  require_int8(model, options);
  for (const std::string& line : model.notes()) note(line);
  return model;
}

text::Tokenizer load_tokenizer(const fs::path& folder, std::string_view otherwise) try {
  text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  for (const std::string& line : tokenizer.notes()) note(line);
  return tokenizer;
} catch (const Error& e) {
  if (otherwise.empty()) throw;
  Error::Text text = e.text();
  text.hint += fmt::format("{}{}", text.hint.empty() ? "" : ", or ", otherwise);
  throw Error(e.kind(), text);
}

namespace {

// Tokens that the model has; whoever opens it is told if that is not said.
std::optional<std::int64_t> vocabulary_of(const fs::path& model) {
  std::error_code error;
  if (gguf::is_gguf_file(model)) return model::outline_of(model::open_source(model)->config()).vocab;
  if (!fs::exists(model / "config.json", error)) return std::nullopt;
  return model::outline_of(hf::Config::open(model / "config.json")).vocab;
}

}  // namespace

Input read_input(const TextOptions& options, const fs::path& model) {
  Input input;
  if (options.ids) {
    input.ids = options.read_ids();
  } else {
    input.text = options.read().value_or(std::string(kArticleText));
    const text::Tokenizer tokenizer = load_tokenizer(model, "token ids: --ids 1,2,3");
    input.ids = tokenizer.encode(input.text, !options.no_special_tokens);
    if (const auto vocab = vocabulary_of(model)) require_in_vocabulary(input.ids, tokenizer, *vocab);
  }
  if (input.ids.empty()) fail_usage({.what = "the text has no tokens", .hint = "--text \"I like to eat\""});
  return input;
}

void require_in_vocabulary(std::span<const std::int32_t> ids, const text::Tokenizer& tokenizer, std::int64_t vocab) {
  const auto at = std::ranges::find_if(ids, [&](std::int32_t id) { return id >= vocab; });
  if (at == ids.end()) return;
  const std::int64_t tokens = tokenizer.vocab_size();
  fail_usage(
      {.what = "the text has a token that the model does not have: its tokenizer is larger than the model",
       .where = fmt::format("token {}, id {}", quote(tokenizer.token(*at)), *at),
       .expected = fmt::format("ids from 0 to {}, by vocab_size in config.json", vocab - 1),
       .found = fmt::format("a tokenizer of {} tokens", tokens),
       .hint = fmt::format("a text without it; whoever made the model: model.resize_token_embeddings({}), and save "
                           "it again",
                           std::max<std::int64_t>(tokens, *at + 1))});
}

void require_context(const model::Card& card, std::int64_t tokens, bool beyond_context) {
  if (tokens <= card.context || (beyond_context && !card.context_is_hard)) return;
  fail_usage({.what = "the text is longer than the model's context",
              .expected = fmt::format("at most {} tokens", card.context),
              .found = fmt::format("{} tokens", tokens),
              .hint = card.context_is_hard
                          ? "a shorter text"
                          : fmt::format("a shorter text, or --beyond-context: {} positions have no fixed end",
                                        positions_text(card))});
}

}  // namespace pkv::program
