#include "checker/compare/wide.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "checker/compare/columns.h"
#include "checker/compare/compare.h"

namespace pkv::check {
namespace {

// Two runs that round differently are √2 times as far from each other as one is from the exact run, where all of the
// rounding differs; the rest is for the tail. Of 4,512 healthy runs the farthest was 2.8 times as far (docs/causes.md).
constexpr double kMeasured = 4;

// What was measured may show that the model of rounding is a little too narrow; never that it is much too narrow.
constexpr double kBeyondModel = 1.25;

// The model of rounding is a little too narrow for some: a healthy granite, one token at a time, reached it. What it is to
// find is far larger.
constexpr double kWideTail = 2;

double farthest(std::span<const float> a, std::span<const float> b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double apart = distance(a[i], b[i]);
    if (std::isnan(apart)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, apart);
  }
  return largest;
}

void raise(double& largest, double to) { largest = std::max(largest, to); }

}  // namespace

void add_row(WideRuns& runs, std::span<const float> without, std::span<const float> with,
             std::span<const float> wide_without, std::span<const float> wide_with) {
  add_wide_row(runs, without, wide_without, wide_with);
  raise(runs.without, farthest(without, wide_without));
  raise(runs.with, farthest(with, wide_without));
  raise(runs.narrow_apart, farthest(without, with));
}

void add_wide_row(WideRuns& runs, std::span<const float> without, std::span<const float> wide_without,
                  std::span<const float> wide_with) {
  runs.rows++;
  raise(runs.apart, farthest(wide_without, wide_with));
  raise(runs.largest_logit, largest_logit(without));
}

double wide_bound(const Description& description, double largest_logit) {
  Description wide = description;
  wide.values_format = "fp32";
  return kWideTail * rounding_bound(wide, largest_logit).value;
}

double measured_rounding(const WideRuns& runs, const Precision& values) {
  const double rounded_once = values.unit_roundoff() * runs.largest_logit;
  return kMeasured * std::max(std::min(runs.without, runs.with), rounded_once);
}

bool parts(const WideRuns& runs, const Precision& values) {
  return runs.known() && (!runs.agree() || runs.narrow_apart > measured_rounding(runs, values));
}

Bound narrowed(Bound bound, const WideRuns& runs) {
  if (!runs.known() || !runs.every_row || !runs.agree()) return bound;
  const double measured = measured_rounding(runs, precision_of(bound.values_format));
  if (measured >= kBeyondModel * bound.value) {
    bound.value *= kBeyondModel;
    bound.reason +=
        fmt::format(" Held against the same run in {}, it does no less, so a quarter more is allowed.", runs.format);
    return bound;
  }
  bound.value = measured;
  bound.reason = fmt::format(
      "Rounding alone could move a logit by {:.2g}: held against the same run in {}, logits without a past are up to "
      "{} off and those with one up to {}.",
      bound.value, runs.format, show::short_number(runs.without), show::short_number(runs.with));
  return bound;
}

}  // namespace pkv::check
