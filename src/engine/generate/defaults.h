// What a model's files say about generating: generation_config.json, or where there is none config.json, with
// transformers' meanings. What they ask for and pkv does not do is refused, for the text would be another.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/generate/generate.h"

namespace pkv::generate {

struct Defaults {
  Options options;                                         // max_new_tokens is not read: see below
  std::optional<std::int64_t> max_new_tokens, max_length;  // the second counts the prompt; the first wins
  std::optional<std::int32_t> bos_token_id;
  std::vector<std::string> stop_strings;
  std::string file;                // "generation_config.json"
  std::vector<std::string> notes;  // what it says that has no meaning here, a line each
};

// `settings` false: the token ids alone are read. Error::load, naming file and key, for what cannot be used.
Defaults defaults_of(const model::Model& model, bool settings = true);

// The tokens to generate when nobody says how many: as the files say, else transformers' 20, but at least one, and not
// more than there is room for. `note` says when the files ask for another number.
struct NewTokens {
  std::int64_t count = 0;
  std::string note;
};
NewTokens default_new_tokens(const Defaults& defaults, const model::Card& card, std::int64_t prompt_tokens);

}  // namespace pkv::generate
