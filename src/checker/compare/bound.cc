#include "checker/compare/bound.h"

#include <fmt/format.h>

#include <cmath>

#include "checker/compare/precision.h"

namespace pkv::check {
namespace {

constexpr double safety = 2;
constexpr std::int64_t assumed_layers = 32, assumed_width = 16384;

std::int64_t stages(const Bound& b) { return 8 * b.layers + 1; }

double relative(const Bound& b, const Precision& values) {
  const double u_sum = precision_of("fp32").unit_roundoff(), u_kept = values.unit_roundoff();
  const double per_stage = static_cast<double>(b.width) * u_sum * u_sum + u_kept * u_kept;
  return std::sqrt(static_cast<double>(stages(b)) * per_stage);
}

Bound of_size(const Description& description) {
  Bound b;
  b.layers = description.layers > 0 ? description.layers : assumed_layers;
  b.width = description.width > 0 ? description.width : assumed_width;
  b.assumed_size = description.layers <= 0 || description.width <= 0;
  return b;
}

std::string reason_of(const Bound& b) {
  const char* guess = b.assumed_size ? " The model's size is not known; its layers and terms are assumed." : "";
  return fmt::format(
      "Rounding alone could move a logit by {:.2g}: the largest logit is {:.4g}, and a model of {} layer{} rounds {} "
      "times in a row to {}, each time after sums of up to {} terms in fp32.{}",
      b.value, b.largest_logit, b.layers, b.layers == 1 ? "" : "s", stages(b), b.values_format, b.width, guess);
}

}  // namespace

double relative_rounding(const Description& description) {
  return relative(of_size(description), values_precision(description));
}

std::int64_t rounding_stages(const Description& description) { return stages(of_size(description)); }

Bound rounding_bound(const Description& description, double largest_logit) {
  const Precision& values = values_precision(description);
  Bound b = of_size(description);
  b.largest_logit = largest_logit;
  b.values_format = values.name;
  b.value = safety * largest_logit * relative(b, values);
  b.reason = reason_of(b);
  return b;
}

}  // namespace pkv::check
