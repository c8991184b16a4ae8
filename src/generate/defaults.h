// What a model's files say about generating: generation_config.json, or where there is none config.json, with
// transformers' meanings. What they ask for and pkv does not do is refused, for the text would be another.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "generate/generate.h"

namespace pkv::generate {

struct Defaults {
  Options options;                                         // max_new_tokens is not read: see below
  std::optional<std::int64_t> max_new_tokens, max_length;  // the second counts the prompt; the first wins
  std::optional<std::int32_t> bos_token_id;
  std::vector<std::string> stop_strings;
  std::string file;  // "generation_config.json"
};

// `settings` false: the token ids alone are read. Error::load, naming file and key, for what cannot be used.
Defaults defaults_of(const model::Model& model, bool settings = true);

// The tokens to generate when nobody says how many: as the files say, else transformers' 20, but not more than there is
// room for.
std::int64_t default_new_tokens(const Defaults& defaults, const model::Card& card, std::int64_t prompt_tokens);

}  // namespace pkv::generate
