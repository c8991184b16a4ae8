#include "checker/measure/rows.h"

#include <algorithm>
#include <cmath>

#include "base/checksum.h"
#include "base/error.h"
#include "base/softmax.h"

namespace pkv::measure {

std::uint64_t hash_of(const session::Logits& logits) {
  if (std::ranges::any_of(logits.values, [](float x) { return std::isnan(x); })) {
    fail_load({.what = "the model's logits are not numbers (NaN)", .hint = "another number format: --dtype fp32"});
  }
  const std::uint64_t hash = checksum(std::as_bytes(std::span(logits.values)));
  if (logits.dense()) return hash;
  const std::uint64_t both[]{hash, checksum(std::as_bytes(std::span(logits.ids)))};
  return checksum_of_rows(both);
}

std::int32_t greedy(const session::Logits& logits) {
  const std::int64_t top = argmax(logits.row(0));
  return logits.dense() ? static_cast<std::int32_t>(top) : logits.ids[static_cast<std::size_t>(top)];
}

void Rows::compare(std::uint64_t expected, std::uint64_t found, const std::string& variant, std::int64_t tokens) {
  ++compared_;
  if (expected == found) return;
  const auto same = [&](const Disagreement& d) { return d.variant == variant; };
  if (std::none_of(disagreements_.begin(), disagreements_.end(), same)) disagreements_.push_back({variant, tokens});
}

}  // namespace pkv::measure
