#include "checker/measure/rows.h"

#include <algorithm>
#include <cmath>

#include "base/checksum.h"
#include "base/error.h"

namespace pkv::measure {

std::uint64_t hash_of(std::span<const float> logits) {
  if (std::ranges::any_of(logits, [](float x) { return std::isnan(x); })) {
    fail_load({.what = "the model's logits are not numbers (NaN)", .hint = "another number format: --dtype fp32"});
  }
  return checksum(std::as_bytes(logits));
}

void Rows::compare(std::uint64_t expected, std::uint64_t found, const std::string& variant, std::int64_t tokens) {
  ++compared_;
  if (expected == found) return;
  const auto same = [&](const Disagreement& d) { return d.variant == variant; };
  if (std::none_of(disagreements_.begin(), disagreements_.end(), same)) disagreements_.push_back({variant, tokens});
}

}  // namespace pkv::measure
