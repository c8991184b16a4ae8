// The causes of a living system's difference: some of its wrong calls are seen again, and what each cause would have
// given is simulated. Of a difference as small as roundings: whether it is one.
#pragma once

#include <optional>

#include "checker/causes/explanation.h"
#include "checker/run/inside.h"
#include "checker/run/runs.h"
#include "checker/run/setting.h"

namespace pkv::check {

// What is to be explained of a check's runs.
struct Symptoms {
  std::optional<Place> in_pieces;  // where a past that was used once gave other logits
  double bound = 0;                // how far logits move where nothing is wrong
};

Causes explain(const Setting& setting, const Runs& runs, const Inside& inside, const Symptoms& symptoms);

// How far logits move without a past, in calls of other lengths and from run to run: what rounding does here.
double moved_without_past(const Runs& runs);

// True where the past moves logits much more than that: then a fault may hide below the bound.
bool more_than_rounding_does(const Runs& runs);

// The cause "rounding" of runs that differ within rounding; it is certain where the past adds nothing to it.
Explanation explain_by_rounding(const Runs& runs);

}  // namespace pkv::check
