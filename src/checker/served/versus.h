// Two servers asked the same: a running one and another, or a running one and an engine on the same model. Are their
// tokens the same, and how far apart are their answers, computed anew and with a part of the prompt kept?
//
//   const served::Versus v = served::compare(*one, *other, {.text = text});
//   print(show::as_text(served::document(v)));
//   return v.verdict.holds() ? 0 : 1;
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "checker/served/report.h"
#include "show/document.h"

namespace pkv::served {

// In nats. Weights in five bits instead of sixteen cost about so much, other kernels and sums a tenth of it.
inline constexpr double kTolerance = 0.01;

struct VersusTask {
  std::string text;
  std::vector<std::int32_t> ids = {};  // instead, of servers that take ids
  Options options = {};                // most_requests: of each
  double tolerance = kTolerance;       // divergence up to which they are alike
  std::function<void(std::int64_t requests, std::int64_t longest)> before = {};  // told how many each is asked
  Progress progress = {};
};

// Both were asked the same.
struct Pair {
  std::string name;                            // "16 tokens"; "16 tokens kept"
  std::int64_t tokens = 0;                     // of the prompt; 0: of a text
  std::optional<std::int64_t> kept = {};       // tokens left there before; none: computed anew
  std::optional<std::int64_t> reused[2] = {};  // as each said
  std::optional<Distance> apart = {};          // of the two; none where one gives no log-probabilities
  std::optional<Distance> moved[2] = {};       // each from its own answer computed anew, where something was kept
  std::string wrote[2] = {};                   // what each wrote
  bool same_text = true;
  std::optional<std::int64_t> parts_at = {};  // the first token, from 1, that is another
  double seconds[2] = {};

  bool same() const { return same_text && (!apart || apart->same); }
};

struct Versus {
  About about[2];
  std::int64_t requests[2] = {};
  std::int64_t tokens = 0;   // of the prompt; 0: asked as text
  std::string tokens_apart;  // a sentence, where each makes other tokens of the text
  bool tokens_checked = false;
  std::string text;
  std::vector<std::int32_t> ids;
  double tolerance = kTolerance;
  std::vector<Pair> pairs;
  std::int64_t left_out = 0;  // lengths, by most_requests
  double step = 0;            // of the digits printed, the coarser
  double seen = 1;            // least probability that both show
  Verdict verdict = {};
  show::Environment environment = {};
  std::string command = {};
};

// Error::usage for a prompt of fewer than 4 tokens, or one that either has no room for.
Versus compare(Server& one, Server& other, const VersusTask& task);

show::Document document(const Versus& versus);
std::string report_json(const Versus& versus);  // docs/schema/pkv-servers-1.json
std::string report_junit(const Versus& versus);

}  // namespace pkv::served
