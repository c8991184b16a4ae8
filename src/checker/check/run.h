// The check of a living system: carries out a plan for one text and reports. Logits without the past are computed once
// and kept, [tokens, vocab] floats; all others are compared as they come and dropped.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/progress.h"
#include "checker/check/report.h"
#include "checker/run/plan.h"
#include "checker/session/session.h"

namespace pkv::check {

struct Options {
  Splits splits = {};
  std::string text = {};   // only to be shown in the report
  Progress progress = {};  // in tokens fed
  // How far rounding alone was seen to move a logit, by whoever could run the text whole in a wider format; 0: not
  // measured. Recurrences round more often than the model of rounding (compare/bound.h) counts.
  double rounding = 0;
};

// Usage error when there are fewer than two tokens or a listed split is not within the text; load error when the system
// answers with logits of another shape than [tokens fed, vocab]. What the subject throws goes through.
Report run(Subject& subject, std::span<const std::int32_t> ids, const Options& options = {});

}  // namespace pkv::check
