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

// What was measured may show that the model of rounding is a little too narrow. Of 16 bits not that it is much too
// narrow: a fault of a kernel that both runs share moves both away from the wide run. The wide runs are free of it, and
// where they, too, are moved apart as far as the model allows, roundings are blown up. In fp32 what is so allowed is
// still a ten-thousandth of a logit.
constexpr double kBeyondModel = 1.25, kBeyondModelInFp32 = 8;

// And of the wider runs: a granite whose attention is not scaled down was 6.2 times as far apart as the model gives,
// and 0.4 times as far as this.
constexpr double kWideBeyondModel = 16;

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

bool in_fp32(const Precision& values) { return values.name == "fp32"; }

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

void set_bounds(WideRuns& runs, const Description& description) {
  const Precision& values = values_precision(description);
  Description wide = description;
  wide.values_format = "fp32";
  const double modelled = runs.modelled = rounding_bound(wide, runs.largest_logit).value;

  const double measured = kMeasured * std::min(runs.without, runs.with);
  runs.rounding = std::max(measured, kMeasured * values.unit_roundoff() * runs.largest_logit);
  if (in_fp32(values)) runs.rounding = std::max(runs.rounding, modelled);

  const double in_wide = measured * relative_rounding(wide) / relative_rounding(description);
  runs.bound = std::clamp(in_wide, modelled, kWideBeyondModel * modelled);
}

bool parts(const WideRuns& runs) { return runs.known() && (!runs.agree() || runs.narrow_apart > runs.rounding); }

Bound narrowed(Bound bound, const WideRuns& runs) {
  if (!runs.known() || !runs.every_row || !runs.agree()) return bound;
  const bool fine = in_fp32(precision_of(bound.values_format));
  const double blown_up = runs.modelled > 0 ? kMeasured * runs.apart / runs.modelled : 0;
  const double most = fine ? kBeyondModelInFp32 : std::clamp(blown_up, kBeyondModel, kWideBeyondModel);
  if (runs.rounding >= most * bound.value) {
    bound.value *= most;
    bound.reason += fmt::format(
        " Held against the same run in {}, it does no less, so {:.3g} times as much is allowed.", runs.format, most);
    return bound;
  }
  bound.value = runs.rounding;
  bound.reason = fmt::format(
      "Rounding alone could move a logit by {:.2g}: held against the same run in {}, logits without a past are up to "
      "{} off and those with one up to {}.",
      bound.value, runs.format, show::short_number(runs.without), show::short_number(runs.with));
  return bound;
}

}  // namespace pkv::check
