// Measures greedy generation after one prompt, with and without past. For this room alone.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "checker/measure/bench.h"

namespace pkv::measure {

class GenerationRun {
 public:
  // `text`: depth + prompt ids.
  GenerationRun(std::span<const std::int32_t> text, std::int64_t depth, std::int64_t new_tokens);

  // The untimed run with past, which says which tokens follow, and the last token without past; from what they take
  // follows which tokens are timed without past.
  // `before`: a session that holds the first before() tokens, or more of the same text; null where that is none.
  void explore(Bench& bench, session::Session* before);
  void expect(Bench& bench, std::int64_t rounds) const;

  void begin(Bench& bench) const;  // the first two tokens with past, untimed: what it needs is in the caches then
  void with_past(Bench& bench, bool count);
  void without_past(Bench& bench, bool count);
  void add_shares(Bench& bench);  // of the round that was just counted, of the peaks measured in it
  std::int64_t before() const { return generation_.depth; }

  Generation take(const Costs* costs);

 private:
  std::unique_ptr<session::Session> start(Bench& bench) const;
  std::span<const std::int32_t> ids_for(std::int64_t token) const;  // with past: the prompt, later the token before
  std::int64_t known() const { return generation_.depth + generation_.prompt; }  // tokens before the first new one
  double step(Bench& bench, session::Session& session, std::span<const std::int32_t> ids, std::int64_t token,
              const char* variant);
  void choose_positions(const Bench& bench, double last);

  Generation generation_;
  std::vector<std::int32_t> text_;  // and the new tokens
  std::vector<std::uint64_t> hashes_;
  std::unique_ptr<session::Session> base_;         // holds the first `depth` tokens
  double with_seconds_ = 0, without_seconds_ = 0;  // what one round takes, about
};

}  // namespace pkv::measure
