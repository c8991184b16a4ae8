// How the next token is chosen from logits: transformers' logits processors, in its order. repetition_penalty; then,
// when sampling, temperature, top_k, top_p, min_p. Without sampling the greatest score wins, ties go to the lower id.
//
// The arithmetic, so that a seed means the same everywhere:
// - Scores are fp32. Penalty and temperature are one fp32 multiplication or division each, as in transformers, so that
//   the scores have its bits.
// - top_k keeps all that score no less than the k-th greatest. top_p orders what is left by score, ties by id, and
//   keeps tokens until their probabilities reach top_p: the one that crosses is kept. min_p keeps those with at least
//   min_p times the greatest probability. Probabilities are exp(score - greatest) in double over their sum.
// - The draw takes what was kept in order of id. Weights are summed in blocks of 64, the blocks' sums in order; the
// token
//   is the first at which the running sum exceeds u times the total, with u = random_unit(seed, position), `position`
//   the token's place in the whole text. So a text may be continued later, with the same seed, as if in one go.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pkv::generate {

// Names and meanings of transformers, and its values where a model's generation_config.json says nothing.
struct Sampling {
  bool do_sample = false;
  double temperature = 1;
  std::int64_t top_k = 50;  // 0: all
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;  // of all tokens of the text, the prompt's too
  std::uint64_t seed = 0;
};

// Error::usage, naming the value, for one outside its range: temperature > 0, top_k >= 0, 0 <= top_p <= 1,
// 0 <= min_p <= 1, repetition_penalty > 0.
void require_valid(const Sampling& sampling);

struct Candidate {
  float score = 0;
  std::int32_t id = 0;
  bool operator==(const Candidate&) const = default;
};

class Sampler {
 public:
  explicit Sampler(const Sampling& sampling);

  // The id after `text`, of which `logits` [vocab] are the last position's. `seed` as in Sampling, of this sequence.
  // Error::load when the logits are not numbers.
  std::int32_t choose(std::span<const float> logits, std::span<const std::int32_t> text, std::uint64_t seed);

  // What a draw would be made from, in order of id, with processed scores. Valid until the next call.
  std::span<const Candidate> kept(std::span<const float> logits, std::span<const std::int32_t> text);

 private:
  std::span<const float> penalised(std::span<const float> logits, std::span<const std::int32_t> text);

  Sampling sampling_;
  std::vector<float> scores_;
  std::vector<Candidate> kept_;
};

// The id of the greatest logit, the lowest of several. Error::load when one is not a number.
std::int32_t argmax(std::span<const float> logits);

// log softmax(logits)[id], in double.
double log_probability(std::span<const float> logits, std::int32_t id);

}  // namespace pkv::generate
