// A call after a past, seen again in order to tell causes apart: what was fed, what came, and what should have come.
#pragma once

#include <cstdint>
#include <vector>

#include "checker/compare/compare.h"
#include "checker/run/plan.h"

namespace pkv::check {

// ids[past ..] got `faulty` and should have got `right`. Where the two are equal, the call went right, and a cause that
// would have made it wrong is refuted.
struct Observation {
  std::vector<std::int32_t> ids;  // those of the past first
  std::int64_t past = 0;
  Logits right, faulty;            // [new tokens, vocab]
  Method method = Method::pieces;  // how the past had been used before
  // The text of the check and its other text, which have been fed before, too. At least as long as ids, or empty where
  // they are not known.
  std::vector<std::int32_t> text, other;
};

}  // namespace pkv::check
