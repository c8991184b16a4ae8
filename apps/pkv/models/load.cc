#include "models/load.h"

#include <fmt/format.h>

#include "base/error.h"
#include "engine/model/model.h"
#include "files/hf/hf.h"
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

model::Model load_model(const fs::path& folder, const EngineOptions& options) {
  model::LoadOptions formats = options.load_options();
  hf::Folder opened = hf::Folder::open(folder);
  if (const std::string changed = subjects::load_as(options.as, opened, formats); !changed.empty()) note(changed);
  if (formats.quantize) {
    formats.progress =
        progress_bar(fmt::format("{} in {}", hf::display_name(folder), quant::name_of(formats.quantize->format)));
  }
  model::Model model = model::load(std::move(opened), options.open(), formats);
  require_int8(model, options);
  for (const std::string& line : model.notes()) note(line);
  return model;
}

text::Tokenizer load_tokenizer(const fs::path& folder) {
  text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  for (const std::string& line : tokenizer.notes()) note(line);
  return tokenizer;
}

Input read_input(const TextOptions& options, const fs::path& model) {
  Input input;
  if (options.ids) {
    input.ids = parse_ids(*options.ids, "--ids");
  } else {
    input.text = options.file ? read_text(*options.file) : options.text.value_or(std::string(kArticleText));
    input.ids = load_tokenizer(model).encode(input.text, !options.no_special_tokens);
  }
  if (input.ids.empty()) fail_usage({.what = "the text has no tokens", .hint = "--text \"I like to eat\""});
  return input;
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
