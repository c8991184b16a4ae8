#include "engine/generate/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace pkv::generate {
namespace {

constexpr std::size_t kBlock = 64;

[[noreturn]] void not_numbers() {
  fail_load({.what = "the model gives logits that are not numbers",
             .expected = "finite logits",
             .found = "NaN or infinity",
             .hint = "--dtype fp32 --past-dtype fp32, if values overflow"});
}

double weight(float score, float best) { return std::exp(static_cast<double>(score) - best); }

struct Greatest {
  float value = 0;
  bool numbers = true;
};

// Of one block, sixteen at a time, as vector instructions want it.
Greatest greatest_of(std::span<const float> block) {
  constexpr std::size_t kLanes = 16;
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, block[0]);
  unsigned bad = 0;
  std::size_t i = 0;
  for (; i + kLanes <= block.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float x = block[i + lane];
      lanes[lane] = x > lanes[lane] ? x : lanes[lane];
      bad |= static_cast<unsigned>(x != x);
    }
  }
  for (; i < block.size(); ++i) {
    lanes[0] = std::max(lanes[0], block[i]);
    bad |= static_cast<unsigned>(block[i] != block[i]);
  }
  return {.value = *std::max_element(lanes, lanes + kLanes), .numbers = bad == 0};
}

std::span<const float> block_of(std::span<const float> scores, std::size_t block) {
  return scores.subspan(block * kBlock, std::min(kBlock, scores.size() - block * kBlock));
}

// Of each block, and of all.
float greatest_of_blocks(std::span<const float> scores, std::vector<float>& greatest) {
  greatest.resize((scores.size() + kBlock - 1) / kBlock);
  bool numbers = true;
  for (std::size_t block = 0; block < greatest.size(); ++block) {
    const Greatest found = greatest_of(block_of(scores, block));
    greatest[block] = found.value;
    numbers = numbers && found.numbers;
  }
  const float best = greatest.empty() ? NAN : *std::max_element(greatest.begin(), greatest.end());
  if (!numbers || !std::isfinite(best)) not_numbers();
  return best;
}

std::int32_t first_of(float best, std::span<const float> scores, std::span<const float> greatest) {
  const auto block = static_cast<std::size_t>(std::find(greatest.begin(), greatest.end(), best) - greatest.begin());
  const auto part = block_of(scores, block);
  return static_cast<std::int32_t>(block * kBlock) +
         static_cast<std::int32_t>(std::find(part.begin(), part.end(), best) - part.begin());
}

}  // namespace

void require_valid(const Sampling& s) {
  const auto require = [](bool holds, const char* name, double value, const char* expected) {
    if (holds) return;
    fail_usage({.what = fmt::format("{} is out of its range", name),
                .expected = expected,
                .found = fmt::format("{:g}", value)});
  };
  const auto above_zero = [](double value) { return static_cast<float>(value) > 0 && std::isfinite(value); };
  require(above_zero(s.temperature), "temperature", s.temperature, "above 0");
  require(s.top_k >= 0, "top_k", static_cast<double>(s.top_k), "at least 1, or 0 for all");
  require(s.top_p >= 0 && s.top_p <= 1, "top_p", s.top_p, "0 to 1");
  require(s.min_p >= 0 && s.min_p <= 1, "min_p", s.min_p, "0 to 1");
  require(above_zero(s.repetition_penalty), "repetition_penalty", s.repetition_penalty, "above 0");
}

Sampler::Sampler(const Sampling& sampling) : sampling_(sampling) { require_valid(sampling); }

void Sampler::process(std::span<const float> logits, std::span<const std::int32_t> text) {
  const auto penalty = static_cast<float>(sampling_.repetition_penalty);
  const auto temperature = static_cast<float>(sampling_.do_sample ? sampling_.temperature : 1.0);
  scores_ = logits;
  if (penalty != 1 || temperature != 1) {
    changed_.assign(logits.begin(), logits.end());
    for (std::size_t i = 0; penalty != 1 && i < text.size(); ++i) {
      const auto id = static_cast<std::size_t>(text[i]);
      changed_[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
    }
    if (temperature != 1) std::ranges::for_each(changed_, [=](float& x) { x /= temperature; });
    scores_ = changed_;
  }
  best_ = greatest_of_blocks(scores_, greatest_);
}

void Sampler::keep_at_least(float bar) {
  kept_.clear();
  all_ = false;
  for (std::size_t block = 0; block < greatest_.size(); ++block) {
    if (!(greatest_[block] >= bar)) continue;
    const auto part = block_of(scores_, block);
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (part[i] >= bar) kept_.push_back({part[i], static_cast<std::int32_t>(block * kBlock + i)});
    }
  }
}

// Those that score no less than the `count`-th greatest. Among as many blocks' greatest scores, the least is a bar that
// at least `count` scores reach.
void Sampler::keep_best(std::size_t count) {
  const auto rank = static_cast<std::ptrdiff_t>(count) - 1;
  float bar = -INFINITY;
  if (count <= greatest_.size()) {
    ranked_ = greatest_;
    std::nth_element(ranked_.begin(), ranked_.begin() + rank, ranked_.end(), std::greater<>());
    bar = ranked_[static_cast<std::size_t>(rank)];
  }
  keep_at_least(bar);
  if (kept_.size() <= count) return;
  ranked_.clear();
  for (const Candidate& c : kept_) ranked_.push_back(c.score);
  std::nth_element(ranked_.begin(), ranked_.begin() + rank, ranked_.end(), std::greater<>());
  bar = ranked_[static_cast<std::size_t>(rank)];
  std::erase_if(kept_, [=](const Candidate& c) { return c.score < bar; });
}

double Sampler::sum_weights() {
  sums_.clear();
  double total = 0;
  for (std::size_t at = 0; at < count(); at += kBlock) {
    double sum = 0;
    for (std::size_t i = at; i < std::min(at + kBlock, count()); ++i) sum += weight(score(i), best_);
    sums_.push_back(sum);
    total += sum;
  }
  return total;
}

// Cuts what is kept behind the token at which the weights reach the bar. False if they do not.
bool Sampler::cut_nucleus(double bar) {
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
  };
  ordered_ = kept_;
  std::ranges::sort(ordered_, before);
  double running = 0;
  const auto crossing = std::ranges::find_if(ordered_, [&](const Candidate& c) {
    running += weight(c.score, best_);
    return running >= bar;
  });
  if (crossing == ordered_.end()) return false;
  std::erase_if(kept_, [&](const Candidate& c) { return before(*crossing, c); });
  return true;
}

// Out of the whole vocabulary the nucleus is looked for among few, then among more.
void Sampler::keep_nucleus() {
  const double bar = sampling_.top_p * sum_weights();
  if (!all_) {
    cut_nucleus(bar);
    return;
  }
  for (std::size_t few = kBlock; few < scores_.size(); few *= 8) {
    keep_best(few);
    if (cut_nucleus(bar)) return;
  }
  keep_at_least(-INFINITY);
  cut_nucleus(bar);
}

void Sampler::keep_min_p() {
  // Rounding of the logarithm must not take out what the comparison of weights would keep.
  if (all_) keep_at_least(static_cast<float>(best_ + std::log(sampling_.min_p) - 0.001 * (1 + std::abs(best_))));
  std::erase_if(kept_, [&](const Candidate& c) { return weight(c.score, best_) < sampling_.min_p; });
}

void Sampler::filter() {
  all_ = true;
  const auto top_k = static_cast<std::size_t>(sampling_.top_k);
  if (top_k > 0 && top_k < scores_.size()) keep_best(top_k);
  if (sampling_.top_p < 1) keep_nucleus();
  if (sampling_.min_p > 0) keep_min_p();
}

std::vector<Candidate> Sampler::kept(std::span<const float> logits, std::span<const std::int32_t> text) {
  process(logits, text);
  filter();
  if (all_) keep_at_least(-INFINITY);
  return kept_;
}

std::int32_t Sampler::choose(std::span<const float> logits, std::span<const std::int32_t> text, std::uint64_t seed) {
  process(logits, text);
  if (!sampling_.do_sample) return first_of(best_, scores_, greatest_);
  filter();
  const double bar = random_unit(seed, text.size()) * sum_weights();
  double running = 0;
  std::size_t drawn = 0;  // the last that has any weight, should rounding leave the bar unreached
  for (std::size_t block = 0; block < sums_.size() && !(running > bar); ++block) {
    if (running + sums_[block] <= bar && block + 1 < sums_.size()) {
      running += sums_[block];
      continue;
    }
    for (std::size_t i = block * kBlock; i < std::min((block + 1) * kBlock, count()) && !(running > bar); ++i) {
      const double w = weight(score(i), best_);
      if (w > 0) drawn = i;
      running += w;
    }
  }
  return all_ ? static_cast<std::int32_t>(drawn) : kept_[drawn].id;
}

}  // namespace pkv::generate
