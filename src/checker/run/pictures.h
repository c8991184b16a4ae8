// What the report's pictures are drawn from: cells of split and position, and histograms.
#pragma once

#include <span>
#include <vector>

#include "checker/compare/report.h"

namespace pkv::check {

// Two rows of logits in the same bins, and their |Δ| in bins of its own. What is not finite is left out.
void fill_histograms(Report& report, std::span<const float> without_past, std::span<const float> with_past);

// At most about 4,000 cells: of every few neighbouring positions of a split, aligned to multiples of that number, the
// worst remains. Sets `cells` and `positions_of_cell`.
void fill_cells(Report& report, std::vector<Cell> cells);

}  // namespace pkv::check
