#include "engine/generate/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/random.h"

namespace pkv::generate {
namespace {

using testing::ElementsAre;
using Scores = std::vector<float>;

// Every fourth score is one of a few, so that there are ties.
Scores random_scores(std::uint64_t seed, std::size_t size) {
  Scores scores;
  for (std::size_t i = 0; i < size; ++i) {
    const float x = 8 * random_signed(seed, i);
    scores.push_back(i % 4 == 0 ? std::round(x) : x);
  }
  return scores;
}

// The definition, with everything sorted.
std::vector<Candidate> plainly_kept(const Scores& logits, const std::vector<std::int32_t>& text, const Sampling& s) {
  std::vector<Candidate> left;
  for (std::size_t i = 0; i < logits.size(); ++i) left.push_back({logits[i], static_cast<std::int32_t>(i)});
  for (Candidate& c : left) {
    const auto penalty = static_cast<float>(s.repetition_penalty);
    if (std::find(text.begin(), text.end(), c.id) != text.end())
      c.score = c.score < 0 ? c.score * penalty : c.score / penalty;
    c.score /= static_cast<float>(s.temperature);
  }
  std::stable_sort(left.begin(), left.end(), [](auto& a, auto& b) { return a.score > b.score; });
  if (s.top_k > 0 && s.top_k < static_cast<std::int64_t>(left.size())) {
    const float bar = left[static_cast<std::size_t>(s.top_k - 1)].score;
    std::erase_if(left, [=](const Candidate& c) { return c.score < bar; });
  }
  const double best = left.front().score;
  double total = 0, before = 0;
  for (const Candidate& c : left) total += std::exp(c.score - best);
  std::vector<Candidate> kept;
  for (const Candidate& c : left) {
    if (s.top_p < 1 && !kept.empty() && before >= s.top_p * total) break;
    before += std::exp(c.score - best);
    kept.push_back(c);
  }
  std::erase_if(kept, [&](const Candidate& c) { return std::exp(c.score - best) < s.min_p; });
  std::sort(kept.begin(), kept.end(), [](auto& a, auto& b) { return a.id < b.id; });
  return kept;
}

TEST(Sampler, KeepsWhatTheDefinitionSays) {
  const std::vector<std::int32_t> text{0, 2, 0};
  for (const std::size_t size : {3u, 63u, 64u, 65u, 129u, 1000u, 6000u}) {
    const Scores logits = random_scores(size, size);
    for (const std::int64_t top_k : {0, 1, 2, 16, 50, 64, 900, 9000}) {
      for (const double top_p : {1.0, 0.0, 0.3, 0.97, 0.99999}) {
        for (const double min_p : {0.0, 0.01, 0.5, 1.0}) {
          const Sampling s{.do_sample = true,
                           .temperature = top_k == 16 ? 0.7 : 1.0,
                           .top_k = top_k,
                           .top_p = top_p,
                           .min_p = min_p,
                           .repetition_penalty = top_k == 50 ? 1.3 : 1.0};
          ASSERT_EQ(Sampler(s).kept(logits, text), plainly_kept(logits, text, s))
              << "vocabulary " << size << ", top_k " << top_k << ", top_p " << top_p << ", min_p " << min_p;
        }
      }
    }
  }
}

TEST(Sampler, DrawsAsOftenAsTheProbabilitiesSay) {
  const Scores logits = random_scores(5, 200);
  for (const std::int64_t top_k : {0, 20}) {
    Sampler sampler({.do_sample = true, .temperature = 3, .top_k = top_k});
    const auto kept = sampler.kept(logits, {});
    double total = 0;
    for (const Candidate& c : kept) total += std::exp(c.score);
    constexpr int kDraws = 40'000;
    std::map<std::int32_t, int> drawn;
    for (int i = 0; i < kDraws; ++i) ++drawn[sampler.choose(logits, {}, static_cast<std::uint64_t>(i))];
    std::size_t seen = 0;
    for (const Candidate& c : kept) {
      const double p = std::exp(c.score) / total;
      // Six standard deviations of a binomial: of 220 tokens none is outside by chance.
      EXPECT_NEAR(drawn[c.id], kDraws * p, 6 * std::sqrt(kDraws * p * (1 - p)) + 1) << "token " << c.id;
      seen += static_cast<std::size_t>(drawn[c.id]);
    }
    EXPECT_EQ(seen, kDraws) << "a token was drawn that had been taken out";
  }
}

TEST(Sampler, ADrawIsGivenBySeedAndPosition) {
  const Scores logits(100, 0.f);  // all alike: the draw is the number itself
  Sampler sampler({.do_sample = true, .top_k = 0});
  for (std::size_t position = 0; position < 50; ++position) {
    const std::vector<std::int32_t> text(position, 7);
    for (const std::uint64_t seed : {0ull, 1ull, ~0ull}) {
      EXPECT_EQ(sampler.choose(logits, text, seed), static_cast<int>(100 * random_unit(seed, position)));
    }
  }
}

TEST(Sampler, WithoutSamplingTheGreatestWinsAndTheLowerIdOfTwo) {
  Scores logits(300, -2.f);
  logits[70] = logits[200] = 3;
  EXPECT_EQ(Sampler({}).choose(logits, {}, 1), 70);
  const std::vector<std::int32_t> text{70};
  EXPECT_EQ(Sampler({.repetition_penalty = 1.5}).choose(logits, text, 1), 200) << "70 is in the text already";
  EXPECT_EQ(Sampler({.temperature = 9, .top_k = 1}).choose(logits, {}, 1), 70) << "these are for sampling";
}

TEST(Sampler, ThePenaltyMakesLessLikelyOnEitherSideOfZero) {
  const Scores logits{2, -2, 1};
  const std::vector<std::int32_t> text{0, 1, 1};
  const Sampling s{.do_sample = true, .top_k = 0, .repetition_penalty = 2};
  EXPECT_THAT(Sampler(s).kept(logits, text), ElementsAre(Candidate{1, 0}, Candidate{-4, 1}, Candidate{1, 2}));
}

TEST(Sampler, MinusInfinityIsATokenThatCannotBe) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  Scores logits(130, kNever);
  logits[129] = -7;
  Sampler sampler({.do_sample = true, .top_k = 0});
  for (std::uint64_t seed = 0; seed < 20; ++seed) EXPECT_EQ(sampler.choose(logits, {}, seed), 129);
  EXPECT_EQ(Sampler({}).choose(logits, {}, 1), 129);
}

TEST(Sampler, LogitsThatAreNotNumbersAreRefused) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {0u, 15u, 64u, 99u}) {
      Scores logits(100, 1.f);
      logits[at] = bad;
      EXPECT_THROW(Sampler({}).choose(logits, {}, 1), Error) << bad << " at " << at;
      EXPECT_THROW(Sampler({.do_sample = true}).choose(logits, {}, 1), Error) << bad << " at " << at;
    }
  }
  EXPECT_THROW(Sampler({}).choose(Scores(5, -std::numeric_limits<float>::infinity()), {}, 1), Error);
  EXPECT_THROW(Sampler({}).choose({}, {}, 1), Error);
}

TEST(Sampling, ValuesOutsideTheirRangeAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Sampling& s : std::vector<Sampling>{{.temperature = 0},
                                                 {.temperature = -1},
                                                 {.temperature = nan},
                                                 {.temperature = 1e-60},
                                                 {.top_k = -1},
                                                 {.top_p = -0.1},
                                                 {.top_p = 1.1},
                                                 {.top_p = nan},
                                                 {.min_p = -0.1},
                                                 {.min_p = 1.1},
                                                 {.repetition_penalty = 0},
                                                 {.repetition_penalty = nan}}) {
    EXPECT_THROW(require_valid(s), Error);
  }
  EXPECT_NO_THROW(require_valid({.temperature = 0.01, .top_k = 0, .top_p = 0, .min_p = 1}));
}

}  // namespace
}  // namespace pkv::generate
