#include "base/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pkv {

// Sixteen running maxima, as vector instructions want it; a NaN is greater than none.
std::int64_t argmax(std::span<const float> row) {
  constexpr std::size_t kLanes = 16;
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -std::numeric_limits<float>::infinity());
  std::size_t i = 0;
  for (; i + kLanes <= row.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = row[i + lane] > lanes[lane] ? row[i + lane] : lanes[lane];
    }
  }
  for (; i < row.size(); ++i) lanes[0] = row[i] > lanes[0] ? row[i] : lanes[0];
  const auto found = std::find(row.begin(), row.end(), *std::max_element(lanes, lanes + kLanes));
  return found == row.end() ? 0 : found - row.begin();
}

LogSoftmax::LogSoftmax(std::span<const float> logits) : top(*std::max_element(logits.begin(), logits.end())) {
  double sum = 0;
  for (const double l : logits) sum += std::exp(l - top);
  log_sum = std::log(sum);
}

}  // namespace pkv
