#include "measure/rows.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"

namespace pkv::measure {
namespace {

constexpr std::uint64_t kStart = 0xcbf29ce484222325u, kPrime = 0x100000001b3u;

}  // namespace

std::uint64_t hash_of(std::span<const float> logits) {
  std::uint64_t h = kStart;
  bool numbers = true;
  for (const float x : logits) {
    h = (h ^ std::bit_cast<std::uint32_t>(x)) * kPrime;
    numbers &= !std::isnan(x);
  }
  if (!numbers) {
    fail_load({.what = "the model's logits are not numbers (NaN)", .hint = "another number format: --dtype fp32"});
  }
  return h;
}

std::uint64_t combined(std::span<const std::uint64_t> hashes) {
  std::uint64_t h = kStart;
  for (const std::uint64_t x : hashes) h = (h ^ x) * kPrime;
  return h;
}

std::int32_t greedy(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

void Rows::compare(std::uint64_t expected, std::uint64_t found, const std::string& variant, std::int64_t tokens) {
  ++compared_;
  if (expected == found) return;
  const auto same = [&](const Disagreement& d) { return d.variant == variant; };
  if (std::none_of(disagreements_.begin(), disagreements_.end(), same)) disagreements_.push_back({variant, tokens});
}

}  // namespace pkv::measure
