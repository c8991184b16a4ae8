// The article's table: logits of one position without and with the past and their absolute difference, each described
// as pandas' DataFrame.describe() does, and a relative difference. All arithmetic is in double.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace pkv::check {

// mean, std (n - 1), min, quartiles by linear interpolation between order statistics, max. NaN where undefined: all of
// it for no values, std for one value.
struct Summary {
  double mean, std, min, q25, q50, q75, max;

  static constexpr std::array<std::string_view, 7> names{"mean", "std", "min", "25%", "50%", "75%", "max"};
  std::array<double, 7> values() const { return {mean, std, min, q25, q50, q75, max}; }
};

Summary describe(std::span<const double> values);

// The fourth column divides, row by row, the description of the absolute difference by the size of the description
// without past: its "max" row is max|Δ| / |max logit|, not the largest relative difference of any logit.
struct Table {
  Summary without_past{}, with_past{}, absolute{}, relative{};
};

// Both of the same length.
Table article_table(std::span<const float> without_past, std::span<const float> with_past);

}  // namespace pkv::check
