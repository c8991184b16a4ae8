// Where in the model, and where in the text, two runs part; and whether earlier positions know of later tokens. Needs
// nothing but feeding; layers and heads are seen where sessions can be looked into (session::Look).
#pragma once

#include <cstdint>
#include <set>
#include <span>

#include "checker/compare/compare.h"
#include "checker/compare/report.h"
#include "checker/run/replay.h"
#include "checker/session/session.h"

namespace pkv::check {

// The texts of a check and what they gave without past.
struct Whole {
  std::span<const std::int32_t> ids, other;  // of the same length, different at every token
  const Logits& logits;                      // of ids
};

// Feeds the text with other tokens from its second, its middle and its last token on: logits of the positions before
// must stay. 3 feeds of the text; 2 more with states where they do not.
Causality causality(Subject& subject, const Whole& whole, const Description& description, const Tolerance& tolerance,
                    const Fed& fed);
std::set<std::int64_t> changed_for_causality(std::int64_t tokens);  // from which tokens on, in a text of that length

// A call known to have gone wrong: ids[past ..] fed after a past used as `method` says. `right_past`: the longest
// shorter past that was tried and gave the right logits; 0 where none was.
struct Suspect {
  std::int64_t past = 0, right_past = 0, position = 0;
  Method method = Method::pieces;
};

// Fills in `parting` and `layers` of the report: halves the way from right_past to past, then looks at the first
// position that parts. Nothing is filled in where the difference does not show again.
void find_parting(Report& report, Subject& subject, const Whole& whole, Suspect suspect, const Tolerance& tolerance,
                  const Fed& fed);

}  // namespace pkv::check
