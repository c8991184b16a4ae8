// What a model's files say about generating: generation_config.json, or where there is none config.json, with
// transformers' meanings. What they ask for and pkv does not do is refused, for the text would be another; but only
// where it has an effect: what the command line says goes first, and settings of draws mean nothing where none are
// made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/generate/generate.h"

namespace pkv::generate {

// What is decided before the files are read, mostly by the command line: such settings of theirs have no effect.
struct Given {
  bool settings = true;             // false: the token ids alone are read
  std::optional<bool> do_sample{};  // whether tokens are drawn
  bool temperature = false, top_k = false, top_p = false, min_p = false, repetition_penalty = false;
  bool max_new_tokens = false, num_sequences = false, stop = false;
  bool ignore_eos = false;  // no token ends a text
};

struct Defaults {
  Options options;                                         // max_new_tokens is not read: see below
  std::optional<std::int64_t> max_new_tokens, max_length;  // the second counts the prompt; the first wins
  std::optional<std::int32_t> bos_token_id;
  std::int64_t min_length = 0;  // counts the prompt: until then no end, which pkv does not do
  bool forced_bos = false;      // of a prompt of one token
  std::vector<std::string> stop_strings;
  std::string file;                // "generation_config.json"
  std::vector<std::string> notes;  // what it says that has no meaning here, a line each
};

// Error::load, naming file and key, for what cannot be used.
Defaults defaults_of(const model::Model& model, const Given& given = {});

// Error::load for what they ask for and pkv does not do, where the length of the prompt decides whether it matters.
void require_done(const Defaults& defaults, std::int64_t prompt_tokens);

// The tokens to generate when nobody says how many: as the files say, else transformers' 20, but at least one, and not
// more than there is room for. `note` says when the files ask for another number.
struct NewTokens {
  std::int64_t count = 0;
  std::string note;
};
NewTokens default_new_tokens(const Defaults& defaults, const model::Card& card, std::int64_t prompt_tokens);

}  // namespace pkv::generate
