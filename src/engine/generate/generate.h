// The door of room generate: a model writes on. Ids in, ids out; what is text is the caller's affair.
//
//   generate::Options options = generate::defaults_of(model).options;
//   options.max_new_tokens = 128;
//   const generate::Result r = generate::run(model, prompt, options, {.token = [](const generate::Token& t) {
//     show(t.id);
//     return true;
//   }});
#pragma once

// The loop adds nothing to the row law: with a past or without, alone or as one of several sequences, with any number
// of threads, whatever the past already held, the same options give the same ids. See sampler.h for how a token is
// chosen.

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "engine/generate/sampler.h"
#include "engine/model/model.h"

namespace pkv::generate {

inline constexpr std::int64_t kMostSequences = 4096;

struct Options {
  std::int64_t max_new_tokens = 20;
  Sampling sampling;
  std::vector<std::int32_t> eos_token_id;  // a sequence ends with any of these; empty: only at max_new_tokens
  std::int64_t num_sequences = 1;          // sequence i draws with seed + i; more than one only when sampling
  bool use_past = true;                    // false: every token is computed from the whole text, in a fresh past
  bool log_probabilities = false;          // of every token: one more pass over the logits
  bool logits_hash = false;                // of every sequence, likewise
  bool beyond_context = false;             // more text than an ALiBi or rotary model was trained for
  std::int64_t chunk = 512;                // tokens of a text fed in one call; bounds memory
};

enum class Finish : std::uint8_t {
  length,       // max_new_tokens
  eos,          // one of eos_token_id, which is the last id
  stop,         // the caller's `token` said so
  interrupted,  // the caller's flag
};
std::string_view name_of(Finish finish);

// One new token, told as soon as it is chosen.
struct Token {
  std::int64_t sequence = 0;
  std::int64_t index = 0;  // 0 for the first new token of its sequence
  std::int32_t id = 0;
  bool last = false;              // of its sequence, unless `token` says that it is
  double log_probability = 0;     // what the model itself gives it, before penalty and filters; when asked for
  double seconds = 0;             // since the call of run
  std::span<const float> logits;  // [vocab] it was chosen from, as the model gave them; valid during the call
};

struct Events {
  std::function<bool(const Token&)> token = {};    // false: this sequence ends here, with Finish::stop
  Progress prompt = {};                            // in tokens of the prompt
  const std::atomic<bool>* interrupted = nullptr;  // set by a signal or another thread: ends after the call under way
};

struct Sequence {
  std::vector<std::int32_t> ids;          // the new ones
  std::vector<double> log_probabilities;  // of each, when asked for
  std::vector<double> seconds;            // when each was chosen, since the call of run
  std::uint64_t seed = 0;                 // alone, with this seed, it would be the same
  std::uint64_t logits_hash = 0;          // of all logits that its ids were chosen from, when asked for
  Finish finish = Finish::length;
};

struct Result {
  std::vector<Sequence> sequences;
  std::int64_t prompt_tokens = 0;
  std::int64_t reused = 0;    // tokens of the prompt that were in the past already
  double prompt_seconds = 0;  // until the prompt was in the past; without past: the first step
  double seconds = 0;         // all
  bool interrupted = false;
};

// The new tokens that fit behind a prompt: the last one is never fed, so one more than there are places. At least 0.
std::int64_t room_after(const model::Card& card, std::int64_t prompt_tokens);

// Rewinds `past` to the part of its text that is also the prompt's, but leaves the prompt's last token to be computed:
// its logits are wanted. The number of tokens kept. `run` does it too.
std::int64_t keep_shared(model::Past& past, std::span<const std::int32_t> prompt);

// Error::usage for an empty prompt, a model that attends both ways, a text that would outgrow the context (before
// anything is computed), options that make no sense; Error::load when the logits are not numbers.
Result run(const model::Model& model, std::span<const std::int32_t> prompt, const Options& options,
           const Events& events = {});

// The same, going on from a past. What it holds may be any text: the part that it shares with the prompt is used, the
// rest forgotten, and the prompt's last token always computed. Afterwards it holds the prompt and all new ids of
// sequence 0 but the last. Options::use_past must be true.
Result run(const model::Model& model, model::Past& past, std::span<const std::int32_t> prompt, const Options& options,
           const Events& events = {});

}  // namespace pkv::generate
