#include "checker/compare/spread.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pkv::check {
namespace {

// Of 1,248 healthy calls of one position the farthest was 1.55 times what one rounding of each stage adds up to (a
// logarithmic normal distribution passes 2.2 once in 20,000), of 3,744 calls of 12 to 23 positions 1.14 times (1.6 once
// in 15,000): docs/causes.md.
constexpr double kOfOneRow = 2.2, kOfManyRows = 1.6;
constexpr std::int64_t kManyRows = 8;
constexpr double kLargestOfRow = 5;  // times the standard deviation: the largest of a vocabulary

// Mean, deviation about it, and the value farthest from it.
struct Moments {
  double mean = 0, deviation = 0, farthest = 0;
};

Moments moments(std::span<const float> x, std::span<const float> less) {
  double sum = 0, squares = 0, least = std::numeric_limits<double>::infinity(), most = -least;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = less.empty() ? x[i] : double{x[i]} - less[i];
    sum += v, squares += v * v;
    least = std::min(least, v), most = std::max(most, v);
  }
  const double n = static_cast<double>(x.size()), mean = sum / n;
  return {mean, std::sqrt(std::max(0.0, squares / n - mean * mean)), std::max(most - mean, mean - least)};
}

}  // namespace

double Spread::moved() const { return rows > 0 ? std::sqrt(squares / static_cast<double>(rows)) : 0; }

double Spread::could() const { return (rows >= kManyRows ? kOfManyRows : kOfOneRow) * relative; }

double Spread::farthest_could() const { return kLargestOfRow * kOfOneRow * relative; }

Spread spread_of(const Description& description) {
  Spread spread;
  if (description.layers <= 0 || description.width <= 0) return spread;  // a guess is no measure
  spread.relative = relative_rounding(description);
  spread.stages = static_cast<double>(rounding_stages(description));
  return spread;
}

void add_row(Spread& spread, std::span<const float> without, std::span<const float> with) {
  const Moments logits = moments(without, {}), distance = moments(with, without);
  const double scale = logits.deviation * logits.deviation + logits.mean * logits.mean / spread.stages;
  if (!std::isfinite(scale) || !std::isfinite(distance.deviation) || logits.deviation <= 0) return;
  spread.rows++;
  spread.squares += distance.deviation * distance.deviation / scale;
  spread.deviation = std::max(spread.deviation, std::sqrt(scale));
  spread.farthest = std::max(spread.farthest, distance.farthest / std::sqrt(scale));
}

}  // namespace pkv::check
