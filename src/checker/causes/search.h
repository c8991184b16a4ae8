// How causes are told apart: wrong logits that were seen, against those that each cause would have led to. Who computes
// the latter is the caller's affair: an engine, or a recording that holds a few of them.
//
//   const Causes causes = find_causes({.observations = seen, .tolerance = t, .simulate = simulate});
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "checker/causes/explanation.h"
#include "checker/causes/observation.h"
#include "checker/compare/compare.h"

namespace pkv::check {

// Logits of the observation's new tokens, had all of that been so; none where they cannot be had. Asked for every cause
// that is simulated (Cause::simulated).
using Simulate = std::function<std::optional<Logits>(const Observation&, std::span<const Supposition>)>;

// Numbers of a cause that its logits can be had for, rising.
using Numbers = std::function<std::vector<std::int64_t>(CauseId)>;

struct CauseSearch {
  std::vector<Observation> observations;  // the cheapest first, those that went right last
  Tolerance tolerance;
  bool none_kept = false;               // the system says that it keeps no past
  std::vector<std::int64_t> windows{};  // of the model's layers: numbers near these are tried, too
  Simulate simulate;
  Numbers numbers = {};  // empty: the search thinks of some by itself
};

// Confirmed causes in the list's order; where there are none, the best few that explain at least half. What simulations
// cost is not counted here.
Causes find_causes(const CauseSearch& search);

}  // namespace pkv::check
