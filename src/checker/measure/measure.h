// The door of room measure: what does a past gain? Generation is timed with and without the past, and the first token
// after a prefix with the prefix's past from different places; all variants must give the same logits bit for bit, or
// nothing was gained.
//
//   const measure::Result r = measure::run(subject, {&costs, &machine}, text, {.prompt_tokens = {128}});
//   print(show::as_text(measure::document(r)));
//
// An untimed run says which tokens follow; then the repetitions take all variants in turn, forward and backward, so
// that drift hits all alike. Without past some tokens only are timed where all would take too long, and the result says
// so.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/progress.h"
#include "checker/measure/document.h"
#include "checker/measure/machine.h"
#include "checker/measure/result.h"
#include "checker/session/session.h"

namespace pkv::measure {

struct Options {
  std::int64_t new_tokens = 128;
  std::vector<std::int64_t> prompt_tokens{16, 128, 512};
  std::vector<std::int64_t> depths{0};      // tokens before the prompt whose past is there already
  std::vector<std::int64_t> prefix_tokens;  // of the reuse of a prefix; each larger than the last
  std::int64_t repetitions = 5;
  std::int64_t warmup = 1;  // untimed rounds; the run that says which tokens follow is the first of them
  double seconds = 20;      // for all repetitions of one generation without past; 0: as long as it takes
  Clock clock = pkv::seconds;
  Progress progress{};  // in milliseconds; the total is an estimate
};

// What times are held against; either may be null. Shares of the peaks need both.
struct Yardstick {
  const Costs* costs = nullptr;
  Machine* machine = nullptr;
};

// `text`: ids to take prompts and prefixes from, as many as the longest needs (see text_needed). Error::usage when
// nothing of what is asked for fits the model's context, or makes no sense. A system that cannot fork and rewind a past
// is measured without what needs that: tokens whose past is there already, and the reuse of prefixes.
Result run(session::Subject& subject, const Yardstick& yardstick, std::span<const std::int32_t> text,
           const Options& options);

std::int64_t text_needed(const Options& options);

// How many times faster the system goes on from a text with its past: a measurement of about a second. None where
// `new_tokens` is 0, a text may not become so long, or the logits are not the same.
std::optional<Ratio> gain(session::Subject& subject, std::span<const std::int32_t> text, std::int64_t new_tokens);

}  // namespace pkv::measure
