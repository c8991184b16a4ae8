// What the same two runs in wider arithmetic show of a difference. A fault of the past stays in any arithmetic.
// Rounding does not, nor does a fault of one format's kernels; these two differ in that rounding moves the run with the
// past and the one without equally far from the wide run, a fault moves one of them only.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "checker/compare/bound.h"

namespace pkv::check {

struct WideRuns {
  std::string format;        // "fp32" or "fp64"; empty: there are none
  std::int64_t rows = 0;     // positions that were run wide, too
  bool every_row = false;    // all positions that had a past are among them
  double without = 0;        // largest distance of a logit without past to the wide run without past
  double with = 0;           // of one with past, to the same
  double narrow_apart = 0;   // largest |Δ| at those positions in the format that is judged
  double apart = 0;          // and in the wider one
  double largest_logit = 0;  // without past, at those positions
  double rounding = 0;       // what rounding explains of `narrow_apart` (set_bounds)
  double bound = 0;          // and of `apart`
  double modelled = 0;       // what the model of rounding gives for `apart`

  bool known() const { return !format.empty(); }
  // False: the runs part in the wider format, too, by more than its rounding explains.
  bool agree() const { return apart <= bound; }
};

// Adds one position: the runs without and with the past, and both again in the wider format, each [vocab]. A NaN makes
// a distance infinite.
void add_row(WideRuns& runs, std::span<const float> without, std::span<const float> with,
             std::span<const float> wide_without, std::span<const float> wide_with);

// The same of a position at which the narrow runs are not to be judged.
void add_wide_row(WideRuns& runs, std::span<const float> without, std::span<const float> wide_without,
                  std::span<const float> wide_with);

// What rounding explains, once all positions were added, of a model that is described in the narrow format.
//  - there: four times the distance to the wide run, of whichever of the two runs is nearer to it, which no fault of
//  one
//    of them moves; in fp32 no less than the model of rounding gives (bound.h).
//  - in the wider format, "fp32" or "fp64": what that model gives for fp32, since models compute parts of a pass in
//  fp32
//    whatever they are given; or what was measured in the narrow format, by as much as fp32 rounds less. Attention
//    whose scores are large blows roundings up in any format, and further than the model of rounding knows.
void set_bounds(WideRuns& runs, const Description& description);

// A difference that rounding does not explain, in either format, of the positions run wide.
bool parts(const WideRuns& runs);

// What was measured, where it was at every position with a past, but at most a quarter more than `bound`, which is what
// the model of rounding gives, or as much beyond it as four times what moves the wider runs apart; in fp32 eight times
// as much. Without wide runs that agree, `bound`.
Bound narrowed(Bound bound, const WideRuns& runs);

}  // namespace pkv::check
