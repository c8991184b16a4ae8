// The door of room measure: what does a past gain? Generation is timed with and without the past, and the first token
// after a prefix with the prefix's past from different places; all variants must give the same logits bit for bit, or
// nothing was gained.
//
//   const measure::Result r = measure::run(subject, machine, text, {.prompt_tokens = {128}});
//   print(measure::report_text(r));
//
// An untimed run says which tokens follow; then the repetitions take all variants in turn, forward and backward, so
// that drift hits all alike. Without past some tokens only are timed where all would take too long, and the result says
// so.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/progress.h"
#include "checker/measure/report.h"
#include "checker/measure/result.h"
#include "checker/measure/subject.h"

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

// `text`: ids to take prompts and prefixes from, as many as the longest needs (see text_needed). `machine` may be null:
// then there are no shares and no peaks. Error::usage when nothing of what is asked for fits the model's context, or
// makes no sense.
Result run(Subject& subject, Machine* machine, std::span<const std::int32_t> text, const Options& options);

std::int64_t text_needed(const Options& options);

}  // namespace pkv::measure
