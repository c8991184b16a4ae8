// How far logits move over all positions that had a past, in the mean, where no wider run says what rounding does. The
// largest logit of one position may move by chance as far as a model of the worst case allows (bound.h); the mean
// square over a row, and over rows, hardly varies from one healthy model to the next.
#pragma once

#include <cstdint>
#include <span>

#include "checker/compare/bound.h"

namespace pkv::check {

// Distances are taken about their mean over the row, which softmax does not see, and held against the spread of the
// row's logits: both as standard deviations.
struct Spread {
  std::int64_t rows = 0;
  double squares = 0;    // of those shares
  double deviation = 0;  // of the logits of a row, the largest
  double could = 0;      // what rounding explains of `moved`; 0: nothing is known
  bool by_rows = false;  // there were enough rows for the mean over them to mean something

  double moved() const;
  bool parts() const { return rows > 0 && could > 0 && moved() > could; }
  double hidden() const;  // a largest distance that would not show, roughly
};

// Adds a position: logits without and with the past, [vocab] each. Rows that are not finite say nothing.
void add_row(Spread& spread, std::span<const float> without, std::span<const float> with);

// Sets what rounding explains, in the format and the model of `bound`, which was computed and not measured.
void set_bound(Spread& spread, const Description& description);

}  // namespace pkv::check
