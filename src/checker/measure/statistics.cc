#include "checker/measure/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pkv::measure {

double median_of(std::span<const double> values) {
  if (values.empty()) return 0;
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const std::size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

Spread spread_of(std::span<const double> values) {
  Spread s{.count = std::ssize(values)};
  if (values.empty()) return s;
  const auto n = static_cast<double>(values.size());
  s.median = median_of(values);
  s.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double v : values) squares += (v - s.mean) * (v - s.mean);
  s.deviation = values.size() > 1 ? std::sqrt(squares / (n - 1)) : 0;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  s.least = *least, s.most = *most;
  return s;
}

Ratio ratio_of(const Spread& slow, const Spread& fast) {
  Ratio r{.times = slow.median / fast.median, .error = std::nullopt};
  if (slow.count > 1 && fast.count > 1) {
    r.error = r.times * std::hypot(slow.deviation / slow.mean, fast.deviation / fast.mean);
  }
  return r;
}

std::vector<double> filled(std::span<const std::int64_t> positions, std::span<const double> values,
                           std::int64_t count) {
  std::vector<double> all(static_cast<std::size_t>(count));
  std::size_t next = 0;  // the first measured position at or after i
  for (std::int64_t i = 0; i < count; ++i) {
    while (positions[next] < i) ++next;
    if (positions[next] == i) {
      all[static_cast<std::size_t>(i)] = values[next];
      continue;
    }
    const double share =
        static_cast<double>(i - positions[next - 1]) / static_cast<double>(positions[next] - positions[next - 1]);
    all[static_cast<std::size_t>(i)] = values[next - 1] + share * (values[next] - values[next - 1]);
  }
  return all;
}

std::vector<std::int64_t> spread_positions(std::int64_t size, std::int64_t count) {
  std::vector<std::int64_t> positions;
  const std::int64_t steps = std::max<std::int64_t>(1, std::min(count, size) - 1);
  for (std::int64_t i = 0; i <= steps; ++i) {
    const std::int64_t at = (i * (size - 1) + steps / 2) / steps;
    if (positions.empty() || at > positions.back()) positions.push_back(at);
  }
  return positions;
}

std::optional<std::int64_t> passes(std::span<const double> slow, std::span<const double> fast, double times) {
  double slow_sum = 0, fast_sum = 0;
  std::optional<std::int64_t> from;
  for (std::size_t i = 0; i < slow.size(); ++i) {
    slow_sum += slow[i], fast_sum += fast[i];
    if (slow_sum < times * fast_sum) {
      from.reset();
    } else if (!from) {
      from = static_cast<std::int64_t>(i) + 1;
    }
  }
  return from;
}

}  // namespace pkv::measure
