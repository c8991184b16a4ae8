// Loads what a command works with, as its options say, and prints the notes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "engine/model/card.h"
#include "options/engine.h"
#include "options/text.h"
#include "text/text.h"

namespace pkv::model {
class Model;
}

namespace pkv::program {

// Of a folder or a GGUF file. Error::load with the way round where the engine does not run it.
model::Model load_model(const std::filesystem::path& folder, const EngineOptions& options);
// `otherwise`: what does without one, for who is told that there is none.
text::Tokenizer load_tokenizer(const std::filesystem::path& folder, std::string_view otherwise = {});

struct Input {
  std::string text;  // empty when ids were given
  std::vector<std::int32_t> ids;
};
// Of the article's text where none is given. Error::usage when it has no tokens, or one that the model does not have.
Input read_input(const TextOptions& options, const std::filesystem::path& model);

// Error::usage that names the token for an id of `tokenizer` that a model of `vocab` tokens does not have.
void require_in_vocabulary(std::span<const std::int32_t> ids, const text::Tokenizer& tokenizer, std::int64_t vocab);

// Error::usage when `tokens` go beyond the model's context.
void require_context(const model::Card& card, std::int64_t tokens, bool beyond_context);

}  // namespace pkv::program
