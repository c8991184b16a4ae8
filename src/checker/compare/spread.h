// How far logits move over all positions that had a past, in the mean, where no wider run says what rounding does. The
// largest logit of one position may move by chance as far as a model of the worst case allows (bound.h); the mean
// square over a row, and over rows, hardly varies from one healthy model to the next.
#pragma once

#include <cstdint>
#include <span>

#include "checker/compare/bound.h"

namespace pkv::check {

// Distances are taken about their mean over the row, which softmax does not see, and held against the spread of the
// row's logits: both as standard deviations. The logits themselves are rounded once, their mean with them, so that it
// counts as one stage's share.
struct Spread {
  std::int64_t rows = 0;
  double relative = 0;   // what the roundings of a pass add up to; 0: not known, and nothing parts
  double stages = 1;     // of a pass
  double squares = 0;    // of the rows' shares
  double deviation = 0;  // of the logits of a row, the largest
  double farthest = 0;   // of one logit, as a share of its row's deviation: a fault may move few of them, in few rows

  double moved() const;           // in the mean over rows, as a share
  double could() const;           // what rounding explains of that
  double farthest_could() const;  // and of `farthest`
  bool known() const { return rows > 0 && relative > 0; }
  bool parts_in_the_mean() const { return known() && moved() > could(); }
  bool parts() const { return parts_in_the_mean() || (known() && farthest > farthest_could()); }
  double hidden() const { return farthest_could() * deviation; }  // a distance up to which no logit shows
};

// Of a model whose size is known; of another, one by which nothing parts.
Spread spread_of(const Description& description);

// Adds a position: logits without and with the past, [vocab] each. Rows that are not finite say nothing.
void add_row(Spread& spread, std::span<const float> without, std::span<const float> with);

}  // namespace pkv::check
