// What a row of logits says without a model: its most likely token, and log-probabilities. In double, by plain sums in
// the row's order, so that all who report them report the same digits.
#pragma once

#include <cstdint>
#include <span>

namespace pkv {

// Index of the largest value, the lowest of equals; NaN never wins. 0 for an empty row and for one of NaN alone.
std::int64_t argmax(std::span<const float> row);

// Log-probabilities of a row, which is not empty: logit - top - log_sum. The two are kept apart, for log_sum would
// drown in a huge top.
struct LogSoftmax {
  double top, log_sum;

  explicit LogSoftmax(std::span<const float> logits);
  double of(float logit) const { return (logit - top) - log_sum; }
};

}  // namespace pkv
