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
  double bound = 0;          // what rounding explains of `apart`
  double largest_logit = 0;  // without past, at those positions

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

// What rounding explains of two runs in the wider format ("fp32" or "fp64") of a model that is described otherwise. The
// same for both formats: models compute parts of a pass in fp32 whatever they are given.
double wide_bound(const Description& description, double largest_logit);

// A difference that rounding does not explain, in the wider format or in that of `values`, of the positions run wide.
bool parts(const WideRuns& runs, const Precision& values);

// How far rounding moves a logit of these runs, as measured: four times the distance to the wide run, of whichever
// of the two runs is nearer to it, or the rounding of the largest logit itself.
double measured_rounding(const WideRuns& runs, const Precision& values);

// What was measured, where it was at every position with a past and is at most a quarter more than `bound`, which is
// what the model of rounding gives; otherwise that and a quarter. Without wide runs that agree, `bound`.
Bound narrowed(Bound bound, const WideRuns& runs);

}  // namespace pkv::check
