// Repeated measurements in a few numbers, and how many times faster one thing is than another.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pkv::measure {

// In the unit of the values. `deviation` is the sample's standard deviation (n - 1); 0 for a single value.
struct Spread {
  std::int64_t count = 0;
  double median = 0, mean = 0, deviation = 0, least = 0, most = 0;
};
Spread spread_of(std::span<const double> values);
double median_of(std::span<const double> values);

// How many times larger `slow` is: the ratio of the medians. The error is that of the ratio when both spread
// independently (as hyperfine computes it): times * sqrt((d1 / m1)^2 + (d2 / m2)^2), with deviations and means. None
// when one of them was measured only once.
struct Ratio {
  double times = 0;
  std::optional<double> error;
};
Ratio ratio_of(const Spread& slow, const Spread& fast);

// Values at 0 .. count - 1, where only those at `positions` (rising, the first 0, the last count - 1) were measured:
// the others lie on straight lines between them. [count]
std::vector<double> filled(std::span<const std::int64_t> positions, std::span<const double> values, std::int64_t count);

// `count` positions, or fewer, of 0 .. size - 1, evenly spread, with both ends. At least 2 when size is.
std::vector<std::int64_t> spread_positions(std::int64_t size, std::int64_t count);

// The first number of tokens from which on, and up to the end, the running sum of `slow` is at least `times` that of
// `fast`; none where it is less at the end.
std::optional<std::int64_t> passes(std::span<const double> slow, std::span<const double> fast, double times);

}  // namespace pkv::measure
