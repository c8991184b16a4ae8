// What will be fed, in which pieces, before anything is fed: the list of experiments for a text of n tokens. A plan is
// plain data that run() carries out and the report counts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::check {

// Which split points to try: how many tokens go into the past, 1 .. n - 1.
struct Splits {
  enum class Choice {
    automatic,  // all of them up to 64 tokens, beyond that a sample
    all,
    last,    // that before the last token; as with all choices, chunks, forks and rewinds are tried, too
    listed,  // those in `at`
  };
  Choice choice = Choice::automatic;
  std::vector<std::int64_t> at = {};
};

// "all", "last" or "3,5"; empty means automatic. Usage error for anything else.
Splits parse_splits(std::string_view text);

// How a trial uses the past. All but the first take two pieces, the prefix and the rest.
enum class Method {
  pieces,        // one piece after the other
  fork_same,     // the rest twice: in a fork, then in the original
  fork_other,    // two forks after the prefix; one gets another text in the middle of the original's rest, then the
                 // second fork gets the rest
  rewind_same,   // all in one call, back to the prefix, the rest
  rewind_other,  // prefix, another text, back to the prefix, the rest
  beside,        // a second session is fed another text's prefix before the first goes on; then both get the rest
  batch,         // the same, each time both in one call
};

constexpr bool forks(Method method) { return method == Method::fork_same || method == Method::fork_other; }
constexpr bool has_company(Method method) { return method == Method::beside || method == Method::batch; }
constexpr bool rewinds(Method method) { return method == Method::rewind_same || method == Method::rewind_other; }

struct Trial {
  Method method = Method::pieces;
  std::vector<std::int64_t> pieces;  // lengths; their sum is n
};

struct Experiment {
  std::string name;      // "every split point"
  std::string sentence;  // what is done, for a reader who has never seen it
  std::vector<Trial> trials;
};

struct Plan {
  std::vector<Experiment> experiments;     // the first is the article's: the last token split off
  std::vector<std::int64_t> influence_at;  // past lengths at which it is shown that the past is used
  std::vector<std::string> notes;          // what was left out: "31 of 499 split points", "chunks of 64: ..."

  std::int64_t tokens_to_feed(std::int64_t tokens) const;  // all experiments together, as run() feeds them
};

// Usage error when there are fewer than two tokens or a listed split is not within 1 .. tokens - 1.
Plan make_plan(std::int64_t tokens, const Splits& splits);

// Tokens that one trial feeds.
std::int64_t tokens_to_feed(const Trial& trial);

}  // namespace pkv::check
