#include "checker/compare/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "checker/compare/compare.h"

namespace pkv::check {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

double deviation(std::span<const double> values, double mean) {
  if (values.size() < 2) return nan;
  double sum = 0;
  for (const double v : values) sum += (v - mean) * (v - mean);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

// Of sorted values; numpy's and pandas' "linear".
double quantile(std::span<const double> sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  if (below + 1 >= sorted.size() || sorted[below] == sorted[below + 1]) return sorted[below];
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
}

Summary quotient(const Summary& part, const Summary& whole) {
  const auto over = [](double a, double b) { return a / std::abs(b); };
  return {over(part.mean, whole.mean), over(part.std, whole.std), over(part.min, whole.min), over(part.q25, whole.q25),
          over(part.q50, whole.q50),   over(part.q75, whole.q75), over(part.max, whole.max)};
}

}  // namespace

Summary describe(std::span<const double> values) {
  const bool undefined =
      values.empty() || std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); });
  if (undefined) return {nan, nan, nan, nan, nan, nan, nan};
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double mean = mean_of(values);
  return {mean,
          deviation(values, mean),
          sorted.front(),
          quantile(sorted, 0.25),
          quantile(sorted, 0.5),
          quantile(sorted, 0.75),
          sorted.back()};
}

Table article_table(std::span<const float> without_past, std::span<const float> with_past) {
  const std::vector<double> a(without_past.begin(), without_past.end());
  const std::vector<double> b(with_past.begin(), with_past.end());
  std::vector<double> apart(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) apart[i] = distance(a[i], b[i]);
  Table table{describe(a), describe(b), describe(apart), {}};
  table.relative = quotient(table.absolute, table.without_past);
  return table;
}

}  // namespace pkv::check
