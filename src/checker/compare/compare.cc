#include "checker/compare/compare.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

namespace pkv::check {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

bool allowed(float logit) { return !std::isnan(logit) && logit != infinity; }

std::optional<Place> earlier(std::optional<Place> a, std::optional<Place> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

void compare_values(std::span<const float> reference, std::span<const float> other, const Precision& logits,
                    RowDifference& row) {
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const float a = reference[i], b = other[i];
    if (!allowed(a) || !allowed(b)) {
      row.not_finite++;
    } else if (const double apart = distance(a, b); apart > row.max_abs) {
      row.max_abs = apart;
      row.ulps = ulps_between(a, b, logits);
    }
  }
}

// A row by token: all of the vocabulary, or the likeliest.
class TokenRow {
 public:
  TokenRow(const Logits& logits, std::int64_t row) : values_(logits.row(row)), ids_(logits.row_ids(row)) {
    if (logits.dense()) return;
    for (std::size_t i = 0; i < ids_.size(); ++i) at_.emplace(ids_[i], values_[i]);
    least_ = *std::min_element(values_.begin(), values_.end());
  }

  std::size_t size() const { return values_.size(); }
  std::int32_t id(std::size_t i) const { return ids_.empty() ? static_cast<std::int32_t>(i) : ids_[i]; }
  float value(std::size_t i) const { return values_[i]; }
  std::optional<float> of(std::int32_t id) const {
    if (ids_.empty()) return values_[static_cast<std::size_t>(id)];
    const auto found = at_.find(id);
    return found == at_.end() ? std::nullopt : std::optional(found->second);
  }
  // No token that is not shown has more.
  float least() const { return least_; }
  std::int32_t top() const {
    std::int32_t top = id(0);
    for (std::size_t i = 1; i < size(); ++i) {
      const float best = *of(top);
      if (value(i) > best || (value(i) == best && id(i) < top)) top = id(i);
    }
    return top;
  }

 private:
  std::span<const float> values_;
  std::span<const std::int32_t> ids_;
  std::map<std::int32_t, float> at_;
  float least_ = 0;
};

// What `a` shows, against `b`; of the tokens that both show only if `common`.
void compare_shown(const TokenRow& a, const TokenRow& b, bool common, const Precision& logits, RowDifference& row) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::optional<float> other = b.of(a.id(i));
    if (!allowed(a.value(i)) || (other && common && !allowed(*other))) {
      row.not_finite++;
    } else if (other && common) {
      const float values[]{a.value(i)}, others[]{*other};
      row.seen++;
      row.same_bits = row.same_bits && equal_bits(values, others);
      compare_values(values, others, logits, row);
    } else if (!other && a.value(i) > b.least()) {
      row.same_bits = false;
      const float values[]{a.value(i)}, others[]{b.least()};
      compare_values(values, others, logits, row);
    }
  }
}

}  // namespace

bool equal_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

double distance(double a, double b) { return a == b ? 0 : std::abs(a - b); }

RowDifference compare_row(std::span<const float> reference, std::span<const float> other, const Precision& logits) {
  RowDifference row;
  row.seen = row.of = std::ssize(reference);
  row.same_bits = equal_bits(reference, other);
  if (row.same_bits) {
    row.not_finite = std::count_if(reference.begin(), reference.end(), [](float l) { return !allowed(l); });
    return row;
  }
  compare_values(reference, other, logits, row);
  if (row.not_finite > 0) return row;
  row.top_flipped = argmax(reference) != argmax(other);
  row.kl = kl_divergence(reference, other);
  return row;
}

RowDifference compare_row(const Logits& reference, std::int64_t r, const Logits& other, std::int64_t s,
                          const Precision& logits) {
  if (reference.dense() && other.dense()) return compare_row(reference.row(r), other.row(s), logits);
  const TokenRow a(reference, r), b(other, s);
  RowDifference row;
  row.of = reference.vocab;
  compare_shown(a, b, true, logits, row);
  compare_shown(b, a, false, logits, row);
  if (row.not_finite == 0) row.top_flipped = a.top() != b.top();
  return row;
}

double kl_divergence(std::span<const float> reference, std::span<const float> other) {
  if (reference.empty()) return 0;
  return kl_divergence(reference, LogSoftmax(reference), other, LogSoftmax(other));
}

double kl_divergence(std::span<const float> reference, const LogSoftmax& p_of, std::span<const float> other,
                     const LogSoftmax& q_of) {
  double kl = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double log_p = p_of.of(reference[i]);
    const double p = std::exp(log_p);
    if (p > 0) kl += p * (log_p - q_of.of(other[i]));
  }
  return std::max(0.0, kl);
}

double largest_logit(std::span<const float> values) {
  double largest = 0;
  for (const float v : values) {
    if (std::isfinite(v)) largest = std::max(largest, std::abs(double{v}));
  }
  return largest;
}

bool Tolerance::broken_by(const RowDifference& row) const { return same_bits ? !row.same_bits : row.max_abs > bound; }

void Difference::add(const RowDifference& row, Place place, const Tolerance& tolerance) {
  Difference one{.positions = 1,
                 .same_bits = row.same_bits,
                 .max_abs = row.max_abs,
                 .ulps = row.ulps,
                 .max_kl = row.kl,
                 .top_flips = row.top_flipped ? 1 : 0,
                 .not_finite = row.not_finite,
                 .seen = row.seen,
                 .of = row.of};
  if (!row.same_bits) one.worst = place;
  if (tolerance.broken_by(row)) one.first = place;
  if (row.not_finite > 0) one.first_not_finite = place;
  add(one);
}

void Difference::add(const Difference& other) {
  positions += other.positions;
  same_bits = same_bits && other.same_bits;
  max_kl = std::max(max_kl, other.max_kl);
  top_flips += other.top_flips;
  not_finite += other.not_finite;
  seen += other.seen;
  of += other.of;
  first = earlier(first, other.first);
  first_not_finite = earlier(first_not_finite, other.first_not_finite);
  if (other.worst && (!worst || other.max_abs > max_abs)) {
    worst = other.worst;
    max_abs = other.max_abs;
    ulps = other.ulps;
  }
}

}  // namespace pkv::check
