// How far rounding alone can move a logit between two runs that do the same arithmetic in another order.
//
// Model (Higham & Mary 2019, "A new approach to probabilistic rounding error analysis"): roundings are independent and
// of mean zero, so the relative error of a sum of w terms grows like √w · u, and independent errors add in squares.
#pragma once

#include <cstdint>
#include <string>

#include "checker/compare/precision.h"

namespace pkv::check {

// A pass of a transformer is taken as 8 · layers + 1 stages in a row (per layer: norm, qkv, scores, weighted sum,
// output, norm, up, down; then the output layer), each of which sums `width` terms in fp32 and rounds its result once
// to the format that values are kept in:
//
//   bound = safety · max|logit| · √( stages · (width · u_sum² + u_kept²) ),   u_sum = 2^-24
//
// safety = 2: √2 because both runs round, the rest for the tail. It is generous elsewhere: every stage is charged at
// the size of the largest logit. GPT-2 in the article stays 170 times below it in fp32 and 10 times in fp16. Weights in
// 4 or 8 bits are rounded once and equally for both runs, so only the format of the values counts.
struct Bound {
  double value = 0;
  double largest_logit = 0;
  std::int64_t layers = 0;
  std::int64_t width = 0;
  bool assumed_size = false;  // layers or width were unknown and taken as those of a model of 7 billion weights
  std::string values_format;  // "fp32"
  std::string reason;         // a sentence with the numbers above
  std::string sharper;        // what to do to see smaller faults: "run it in fp32"; empty: nothing is known
};

// √( stages · (width · u_sum² + u_kept²) ): what the roundings of a pass add up to, relative to what is rounded.
double relative_rounding(const Description& description);
std::int64_t rounding_stages(const Description& description);

// `largest_logit`: largest |logit| without past.
Bound rounding_bound(const Description& description, double largest_logit);

}  // namespace pkv::check
