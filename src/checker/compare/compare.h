// Logits against logits: one position at a time (compare_row), and what a set of positions adds up to (Difference).
// The reference is always the run without a past. Nothing is judged here; see verdict.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/softmax.h"
#include "checker/compare/precision.h"
#include "checker/session/session.h"

namespace pkv::check {

// What one position shows.
struct RowDifference {
  bool same_bits = true;  // every logit; 0.0 and -0.0 have different bits and are no distance apart
  double max_abs = 0;     // largest |Δ|; infinite where one is -inf and the other is not
  std::int64_t ulps = 0;  // the same distance in steps of the logits' type. Not the largest count of steps: near zero
                          // the steps are so small that their count says nothing
  double kl = 0;          // Kullback-Leibler divergence KL(reference || other) of the softmaxes, in nats
  bool top_flipped = false;       // the most likely token differs (of equals, the lowest id counts)
  std::int64_t not_finite = 0;    // NaN or +inf in either row; then kl and top_flipped are not computed and max_abs is
                                  // that of the other logits. -inf masks a token and is allowed
  std::int64_t seen = 0, of = 0;  // logits that both sides showed, of those that the position has

  bool saw_all() const { return seen == of; }
};

// Of as many values each; 0.0 and -0.0 are not equal, a NaN equals itself.
bool equal_bits(std::span<const float> a, std::span<const float> b);

// |a - b|; infinities of the same sign are no distance apart.
double distance(double a, double b);

// Both [vocab].
RowDifference compare_row(std::span<const float> reference, std::span<const float> other, const Precision& logits);

// Row `r` of one against row `s` of the other, either of which may show its likeliest tokens only. Then the tokens that
// both show are compared; one that only one of them shows cannot have more than the other's least, which is how far
// apart the two are at least. kl is not computed, and stays 0, unless both show all. Of the same vocabulary.
RowDifference compare_row(const Logits& reference, std::int64_t r, const Logits& other, std::int64_t s,
                          const Precision& logits);

// In nats, >= 0, from logits by log-sum-exp in double. Infinite where the reference gives weight to what other masks.
double kl_divergence(std::span<const float> reference, std::span<const float> other);
double kl_divergence(std::span<const float> reference, const LogSoftmax& p_of, std::span<const float> other,
                     const LogSoftmax& q_of);

// Largest finite |logit|.
double largest_logit(std::span<const float> values);

// A compared position: the token at `position` (from 0) was fed in a call that found `past` tokens in the past; -1 when
// that is not known.
struct Place {
  std::int64_t past = 0;
  std::int64_t position = 0;

  auto operator<=>(const Place&) const = default;
};

// What counts as parting: any bit, or more than the bound.
struct Tolerance {
  bool same_bits = false;
  double bound = 0;

  bool broken_by(const RowDifference& row) const;
};

// What several positions add up to.
struct Difference {
  std::int64_t positions = 0;
  bool same_bits = true;
  double max_abs = 0;
  std::int64_t ulps = 0;  // of the position with max_abs
  double max_kl = 0;
  std::int64_t top_flips = 0;       // positions
  std::int64_t not_finite = 0;      // logits
  std::optional<Place> worst = {};  // where max_abs is; none while the bits are the same
  std::optional<Place> first = {};  // the least place at which the tolerance is broken
  std::optional<Place> first_not_finite = {};
  std::int64_t seen = 0, of = 0;  // logits compared, of those that the positions have

  void add(const RowDifference& row, Place place, const Tolerance& tolerance);
  void add(const Difference& other);
};

}  // namespace pkv::check
