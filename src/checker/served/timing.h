// How much sooner does a server's first token come when it has kept a part of the prompt? pkv bench --server.
//
//   const served::Timing t = served::time_first_tokens(*server, {.text = text});
//   print(show::as_text(served::document(t)));
//
// The prompt is computed anew, and asked with each of several prefixes kept, in turn, forward and backward, so that
// drift hits all alike. Where the server sends tokens as they are made, the first is timed; else an answer of one
// token.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "checker/measure/statistics.h"
#include "checker/served/server.h"
#include "show/document.h"

namespace pkv::served {

struct TimingOptions {
  std::string text;                              // of which prompts are made, as often as it takes
  std::vector<std::int64_t> prompt_tokens = {};  // lengths; empty: the text as it is
  std::vector<std::int64_t> prefixes = {};       // tokens kept; empty: some, to the whole prompt
  std::int64_t repetitions = 5;
  std::int64_t most_requests = 200;
  std::string mark = "pkv";  // begins texts that the server can't have seen; of this run alone
  // Told what will be asked, before it is: requests, and tokens of the longest prompt, 0 where nobody knows.
  std::function<void(std::int64_t requests, std::int64_t longest)> before = {};
  Progress progress = {};  // of requests
};

struct FirstToken {
  double seconds = 0;                       // from the request
  std::optional<std::int64_t> reused = {};  // as the server said
};

// One prompt with the same part of it kept, each time.
struct Kept {
  std::string name;                         // "16 tokens kept"; "computed anew"
  std::optional<std::int64_t> wanted = {};  // tokens that were left there
  std::vector<FirstToken> samples = {};     // one a repetition

  measure::Spread spread() const;
  std::optional<std::int64_t> reused() const;  // the median; none where it was never said
};

struct Prompt {
  std::int64_t tokens = 0;  // 0: the server takes text alone
  std::string name;         // "231 tokens"; "1,024 characters"
  Kept anew;
  std::vector<Kept> kept;  // rising

  measure::Ratio faster(const Kept& than) const;
};

struct Timing {
  About about;
  std::vector<Prompt> prompts;
  std::int64_t repetitions = 0;  // that were made
  std::int64_t requests = 0;
  bool streamed = false;           // the first token was timed; else answers of one token
  std::int64_t compared = 0;       // answers with a part kept against those computed anew
  std::int64_t other_answers = 0;  // of them
  std::vector<std::string> notes = {};
  show::Environment environment = {};
  std::string command = {};

  bool reused() const;  // something, as far as anybody says
  bool holds() const { return reused() && other_answers == 0; }
};

// Error::usage for prompts or prefixes that the server or the text has no room for.
Timing time_first_tokens(Server& server, const TimingOptions& options);

show::Document document(const Timing& timing);
std::string headline(const Timing& timing);     // a sentence
std::string report_json(const Timing& timing);  // docs/schema/pkv-server-bench-1.json

}  // namespace pkv::served
