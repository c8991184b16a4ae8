// How the next token is chosen from logits: transformers' logits processors, in its order. repetition_penalty; then,
// when sampling, temperature, top_k, top_p, min_p. Without sampling the greatest score wins, ties go to the lower id.
// The vocabulary is never sorted: blocks whose greatest score is too low are not looked into.
#pragma once

// The arithmetic:
// - Scores are fp32. Penalty and temperature are one fp32 multiplication or division each, as in transformers, so that
//   the scores have its bits.
// - top_k keeps all that score no less than the k-th greatest. top_p orders what is left by score, ties by id, and
//   keeps tokens until their probabilities reach top_p: the one that crosses is kept. min_p keeps those with at least
//   min_p times the greatest probability. Probabilities are weights exp(score - greatest), in double, over their sum.
// - The draw takes what was kept in order of id. Weights are summed in blocks of 64, the sums of blocks in order. The
//   token is the first at which the running sum exceeds u times the total, with u = random_unit(seed, position) and
//   `position` the token's place in the whole text. So a text may be continued later, with the same seed, as if in one
//   go.
//   So a seed means the same wherever the logits have the same bits and exp() is the same.

#include <cstdint>
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

  // What a draw would be made from, in order of id, with processed scores.
  std::vector<Candidate> kept(std::span<const float> logits, std::span<const std::int32_t> text);

 private:
  void process(std::span<const float> logits, std::span<const std::int32_t> text);
  void filter();
  void keep_at_least(float bar);
  void keep_best(std::size_t count);
  void keep_nucleus();
  bool cut_nucleus(double bar);
  void keep_min_p();
  float score(std::size_t index) const { return all_ ? scores_[index] : kept_[index].score; }
  std::size_t count() const { return all_ ? scores_.size() : kept_.size(); }
  double sum_weights();

  Sampling sampling_;
  std::span<const float> scores_;  // of every id, processed
  std::vector<float> changed_;     // where they are, unless they are the logits
  std::vector<float> greatest_;    // of each block of scores_
  float best_ = 0;
  bool all_ = true;  // nothing was taken out: kept_ is not used
  std::vector<Candidate> kept_, ordered_;
  std::vector<float> ranked_;
  std::vector<double> sums_;  // weights of each block of what is kept
};

}  // namespace pkv::generate
