#include "checker/compare/spread.h"

#include <algorithm>
#include <cmath>

namespace pkv::check {
namespace {

// Of 1,248 healthy calls of one position the farthest was 1.55 times what one rounding of each stage adds up to (a
// logarithmic normal distribution passes 2.2 once in 20,000), of 3,744 calls of 12 to 23 positions 1.14 times (1.6 once
// in 15,000): docs/causes.md.
constexpr double kOfOneRow = 2.2, kOfManyRows = 1.6;
constexpr std::int64_t kManyRows = 8;
constexpr double kLargestOfRow = 5;  // times the standard deviation: the largest of a vocabulary

double deviation(std::span<const float> x, std::span<const float> less) {
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = less.empty() ? x[i] : double{x[i]} - less[i];
    sum += v, squares += v * v;
  }
  const auto n = static_cast<double>(x.size());
  return std::sqrt(std::max(0.0, squares / n - (sum / n) * (sum / n)));
}

}  // namespace

double Spread::moved() const { return rows > 0 ? std::sqrt(squares / static_cast<double>(rows)) : 0; }

double Spread::hidden() const { return kLargestOfRow * could * deviation; }

void add_row(Spread& spread, std::span<const float> without, std::span<const float> with) {
  const double of_logits = deviation(without, {}), of_distance = deviation(with, without);
  if (!std::isfinite(of_logits) || !std::isfinite(of_distance) || of_logits <= 0) return;
  spread.rows++;
  spread.squares += (of_distance / of_logits) * (of_distance / of_logits);
  spread.deviation = std::max(spread.deviation, of_logits);
}

void set_bound(Spread& spread, const Description& description) {
  if (description.layers <= 0 || description.width <= 0) return;  // guesses are no measure
  spread.by_rows = spread.rows >= kManyRows;
  spread.could = (spread.by_rows ? kOfManyRows : kOfOneRow) * relative_rounding(description);
}

}  // namespace pkv::check
