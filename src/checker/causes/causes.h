// Why a past was not what it should have been. Each cause is a row of one list. It is confirmed when the logits that it
// would lead to, computed without a past, are the wrong ones that were seen; otherwise it is ranked by the share of the
// difference that it explains. Nothing is claimed when no cause explains half of it. How they are told apart:
// explain.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checker/causes/explanation.h"
#include "checker/run/runs.h"
#include "checker/run/setting.h"

namespace pkv::check {

struct Cause {
  enum class Kind {
    evidence,  // what other findings of the report show
    fed,       // simulated by feeding texts whole: any system can do that
    supposed,  // Counterfactual
  };
  std::string_view name, statement, look_at, reference;
  Kind kind = Kind::supposed;
  int part = 0;                  // causes of different parts may come together; 0: it comes alone
  std::int64_t least_count = 0;  // the least N of a cause that has a number to be found; 0: it has none
  bool reads_past = true;        // it lies in a past that is read; false: it shows, or may, where there is none
};

std::span<const Cause> all_causes();
const Cause& cause_of_name(std::string_view name);  // internal error when there is none

// What is to be explained of a check's runs.
struct Symptoms {
  std::optional<Place> in_pieces;  // where a past that was used once gave other logits
  double bound = 0;                // how far logits move where nothing is wrong
};

// The causes of a living system's difference: some of its wrong calls are observed again, and simulations are asked
// for.
Causes explain(const Setting& setting, const Runs& runs, const Inside& inside, const Symptoms& symptoms);

// How far logits move without a past, in calls of other lengths and from run to run: what rounding does here.
double moved_without_past(const Runs& runs);

// True where the past moves logits much more than that: then a fault may hide below the bound.
bool more_than_rounding_does(const Runs& runs);

// The cause "rounding" of runs that differ within rounding; it is certain where the past adds nothing to it.
Explanation explain_by_rounding(const Runs& runs);

}  // namespace pkv::check
