#include "checker/compare/precision.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace pkv::check {
namespace {

constexpr std::array precisions{
    Precision{"fp32", 23, -126, 127},
    Precision{"fp16", 10, -14, 15},
    Precision{"bf16", 7, -126, 127},
};

// The value's place among the type's numbers counted from zero, negative for negative values.
std::int64_t place(double value, const Precision& p) {
  const double size = std::min(std::abs(value), std::ldexp(1.0, p.most_exponent + 1));
  if (size == 0) return 0;
  const int exponent = std::max(std::ilogb(size), p.least_exponent);
  const auto fraction = static_cast<std::int64_t>(std::nearbyint(std::ldexp(size, p.fraction_bits - exponent)));
  const std::int64_t at = (std::int64_t{exponent - p.least_exponent} << p.fraction_bits) + fraction;
  return value < 0 ? -at : at;
}

}  // namespace

const Precision* find_precision(std::string_view name) {
  if (name == "float32" || name == "float") name = "fp32";
  if (name == "float16" || name == "half") name = "fp16";
  if (name == "bfloat16") name = "bf16";
  const auto* at = std::find_if(precisions.begin(), precisions.end(), [&](const auto& p) { return p.name == name; });
  return at == precisions.end() ? nullptr : at;
}

double Precision::unit_roundoff() const { return std::ldexp(1.0, -fraction_bits - 1); }

const Precision& precision_of(std::string_view name) {
  if (const Precision* p = find_precision(name)) return *p;
  fail_usage({.what = "unknown floating-point type", .expected = "fp32, fp16 or bf16", .found = std::string(name)});
}

const Precision& values_precision(const Description& description) {
  if (!description.values_format.empty()) return precision_of(description.values_format);
  const Precision* p = find_precision(description.format);
  return p != nullptr ? *p : precision_of("fp32");
}

const Precision& logits_precision(const Description& description) {
  return description.logits_format.empty() ? values_precision(description) : precision_of(description.logits_format);
}

std::int64_t ulps_between(float a, float b, const Precision& precision) {
  return std::abs(place(a, precision) - place(b, precision));
}

}  // namespace pkv::check
