#include "checker/compare/compare.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
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

}  // namespace

bool equal_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

double distance(double a, double b) { return a == b ? 0 : std::abs(a - b); }

RowDifference compare_row(std::span<const float> reference, std::span<const float> other, const Precision& logits) {
  RowDifference row;
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
                 .not_finite = row.not_finite};
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
  first = earlier(first, other.first);
  first_not_finite = earlier(first_not_finite, other.first_not_finite);
  if (other.worst && (!worst || other.max_abs > max_abs)) {
    worst = other.worst;
    max_abs = other.max_abs;
    ulps = other.ulps;
  }
}

}  // namespace pkv::check
