// What a report's pictures are drawn from: cells of split and position, and histograms.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "checker/compare/compare.h"

namespace pkv::check {

// One compared position: the token at place.position, fed after place.past others. Where positions are too many, the
// worst of every few neighbours (Cells::positions_of_cell). max_abs is NaN where logits are not finite.
struct Cell {
  Place place;
  double max_abs = 0;
  std::int64_t ulps = 0;
};

struct Cells {
  std::vector<Cell> cells;
  std::int64_t positions_of_cell = 1;
};

// At most about 4,000 of them: of every few neighbouring positions of a split, aligned to multiples of that number, the
// worst remains.
Cells few_cells(const std::vector<Cell>& all);

// Counts of values in bins of equal width from `first` on.
struct Histogram {
  double first = 0, width = 0;
  std::vector<std::int64_t> counts;
};

// Two rows of logits in the same bins, and their |Δ| in bins of its own.
struct Histograms {
  Histogram without_past, with_past;
  Histogram distances;
};

// What is not finite is left out.
Histograms histograms_of(std::span<const float> without_past, std::span<const float> with_past);

}  // namespace pkv::check
