#include "generate/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

}  // namespace

std::int32_t argmax(std::span<const float> logits) {
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) not_numbers();
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<std::int32_t>(best);
}

double log_probability(std::span<const float> logits, std::int32_t id) {
  const double best = logits[static_cast<std::size_t>(argmax(logits))];
  double total = 0;
  for (std::size_t at = 0; at < logits.size(); at += kBlock) {
    double sum = 0;
    for (const float x : logits.subspan(at, std::min(kBlock, logits.size() - at))) sum += std::exp(x - best);
    total += sum;
  }
  return logits[static_cast<std::size_t>(id)] - best - std::log(total);
}

void require_valid(const Sampling& s) {
  const auto require = [](bool holds, const char* name, double value, const char* expected) {
    if (!holds) {
      fail_usage({.what = fmt::format("{} is out of its range", name),
                  .expected = expected,
                  .found = fmt::format("{:g}", value)});
    }
  };
  require(s.temperature > 0 && std::isfinite(s.temperature), "temperature", s.temperature, "above 0");
  require(s.top_k >= 0, "top_k", static_cast<double>(s.top_k), "at least 1, or 0 for all");
  require(s.top_p >= 0 && s.top_p <= 1, "top_p", s.top_p, "0 to 1");
  require(s.min_p >= 0 && s.min_p <= 1, "min_p", s.min_p, "0 to 1");
  require(s.repetition_penalty > 0 && std::isfinite(s.repetition_penalty), "repetition_penalty", s.repetition_penalty,
          "above 0");
}

Sampler::Sampler(const Sampling& sampling) : sampling_(sampling) { require_valid(sampling); }

std::span<const float> Sampler::penalised(std::span<const float> logits, std::span<const std::int32_t> text) {
  const auto penalty = static_cast<float>(sampling_.repetition_penalty);
  if (penalty == 1) return logits;
  scores_.assign(logits.begin(), logits.end());
  for (const std::int32_t id : text) {
    const float x = logits[static_cast<std::size_t>(id)];
    scores_[static_cast<std::size_t>(id)] = x < 0 ? x * penalty : x / penalty;
  }
  return scores_;
}

std::span<const Candidate> Sampler::kept(std::span<const float> logits, std::span<const std::int32_t> text) {
  const std::span<const float> scores = penalised(logits, text);
  const auto temperature = static_cast<float>(sampling_.temperature);
  kept_.clear();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    kept_.push_back({.score = scores[i] / temperature, .id = static_cast<std::int32_t>(i)});
  }
  return kept_;
}

std::int32_t Sampler::choose(std::span<const float> logits, std::span<const std::int32_t> text, std::uint64_t) {
  return argmax(penalised(logits, text));
}

}  // namespace pkv::generate
