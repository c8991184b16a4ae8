#include "servers/play.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"

namespace pkv::support {
namespace {

std::int64_t common(const Ids& a, const Ids& b) { return std::ranges::mismatch(a, b).in1 - a.begin(); }

double rounded(double value, int decimals) {
  if (decimals >= 17) return value;
  const double scale = std::pow(10, decimals);
  return std::round(value * scale) / scale;
}

}  // namespace

Ids Play::tokens_of(const std::string& text) {
  Ids ids;
  for (const char c : text) ids.push_back(1 + static_cast<unsigned char>(c) % (vocab - 1));
  return ids;
}

std::string Play::text_of(std::int32_t id) { return "<" + std::to_string(id) + ">"; }

std::vector<double> Play::logprobs(const Ids& ids, std::int64_t reused, bool among) {
  std::uint64_t seed = faults.another_model ? 8 : 7;
  for (const std::int32_t id : ids) seed = random_bits(seed, static_cast<std::uint64_t>(id));
  std::vector<double> logits(vocab);
  const auto disturb = [&](std::uint64_t with, double by) {
    for (std::int32_t i = 0; i < vocab; ++i) logits[i] += by * random_signed(seed + with, 1000 + i);
  };
  for (std::int32_t i = 0; i < vocab; ++i) logits[i] = 3 * random_signed(seed, i);
  if (faults.drifts) disturb(static_cast<std::uint64_t>(++answers_), 1e-3);
  if (faults.drifts_with_company && among) disturb(1, 1e-2);
  if (reused > 0 && faults.other_numbers && faults.other_numbers(reused)) disturb(2, 0.01);
  if (reused > 0 && faults.other_token && faults.other_token(reused)) disturb(3, 30);
  if (faults.place_matters && reused > 0 && common(ids, kept_.back().second) < reused) disturb(4, 0.05);
  double sum = 0;
  for (const double l : logits) sum += std::exp(l);
  for (double& l : logits) l -= std::log(sum);
  return logits;
}

Played Play::answer(const Ids& ids, bool anew, const std::string& key, int new_tokens, bool among) {
  const std::scoped_lock lock(mutex_);
  Played played;
  if (!anew || faults.does_not_forget) {
    for (const auto& [other_key, before] : kept_) {
      if (other_key != key) continue;
      std::int64_t reused = common(ids, before);
      if (faults.collides) reused = std::ssize(before);
      if (faults.shifts && reused > 0 && reused + 1 < std::ssize(ids)) reused = std::ssize(ids) - 2;
      reused = std::min<std::int64_t>(reused, std::ssize(ids) - 1);
      played.reused = std::max(played.reused, reused / faults.block * faults.block);
    }
  }
  if (faults.keeps_nothing) played.reused = 0;
  Ids all = ids;
  for (int i = 0; i < new_tokens; ++i) {
    const std::vector<double> logprobs_now = logprobs(all, i == 0 ? played.reused : 0, among);
    std::vector<std::int32_t> order(vocab);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, [&](std::int32_t a, std::int32_t b) { return logprobs_now[a] > logprobs_now[b]; });
    if (i == 0) {
      for (int k = 0; k < 20; ++k)
        played.candidates.emplace_back(order[k], rounded(logprobs_now[order[k]], faults.decimals));
    }
    played.ids.push_back(order[0]);
    all.push_back(order[0]);
  }
  all.pop_back();
  kept_.emplace_back(key, all);
  if (kept_.size() > faults.keeps) kept_.erase(kept_.begin());
  return played;
}

void Play::forget() {
  const std::scoped_lock lock(mutex_);
  if (!faults.does_not_forget) kept_.clear();
}

}  // namespace pkv::support
