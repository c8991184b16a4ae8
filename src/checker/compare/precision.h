// The floating-point types that logits come in, and distances counted in their steps (ULPs). Values are handed around
// as float, which holds all three exactly; a value that is not one of the type's is rounded to the nearest first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "checker/session/session.h"

namespace pkv::check {

// The words for what is fed, on every floor of the checker.
using session::Counterfactual;
using session::Description;
using session::Fork;
using session::Logits;
using session::Look;
using session::Rewind;
using session::Session;
using session::States;
using session::Subject;
using session::Supposition;

struct Precision {
  std::string_view name;
  int fraction_bits;
  int least_exponent;  // of a normal number
  int most_exponent;

  double unit_roundoff() const;  // 2^-(fraction bits + 1): the relative error of rounding once
};

// "fp32", "fp16", "bf16" or torch's names for them. Null, or a usage error, for anything else.
const Precision* find_precision(std::string_view name);
const Precision& precision_of(std::string_view name);

// The types that a Description means, with its defaults.
const Precision& values_precision(const Description& description);
const Precision& logits_precision(const Description& description);

// How many of the type's numbers lie between a and b, b included: 0 when both round to the same one, 1 for neighbours.
// Zeros of either sign are one number; the count goes through zero when signs differ. Infinity is the number after the
// largest. Not for NaN.
std::int64_t ulps_between(float a, float b, const Precision& precision);

}  // namespace pkv::check
