#include "checker/served/replies.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"

namespace pkv::served {
namespace {

constexpr int kFewDecimals = 6;

const Candidate* find(const Reply& reply, const Candidate& token) {
  const auto at = std::ranges::find_if(reply.candidates, [&](const Candidate& c) { return c.same_token(token); });
  return at == reply.candidates.end() ? nullptr : &*at;
}

double mass(const Reply& reply) {
  double sum = 0;
  for (const Candidate& c : reply.candidates) sum += std::exp(c.logprob);
  return sum;
}

double least(const Reply& reply) {
  return std::ranges::min_element(reply.candidates, {}, &Candidate::logprob)->logprob;
}

const Candidate& top(const Reply& reply) {
  return *std::ranges::max_element(reply.candidates, {}, &Candidate::logprob);
}

std::string named(const Candidate& c) {
  if (!c.token.empty()) return printable(c.token);
  return c.id ? "token " + std::to_string(*c.id) : "";
}

// Of candidates that only `reply` lists: at least so far apart.
void add_unmatched(Distance& d, const Reply& reply, const Reply& other) {
  const double bound = least(other);
  for (const Candidate& c : reply.candidates) {
    if (find(other, c) != nullptr) continue;
    d.only_one++;
    d.same = false;
    if (c.logprob - bound > d.max_abs) d.max_abs = c.logprob - bound, d.worst = named(c);
  }
}

}  // namespace

Distance distance(const Reply& one, const Reply& other) {
  Distance d;
  const double one_mass = mass(one), other_mass = mass(other);
  // Sums of what was printed may pass 1 by rounding; the divergence is of probabilities.
  const double one_sum = std::max(1.0, one_mass), other_sum = std::max(1.0, other_mass);
  double one_rest = 1, other_rest = 1;
  for (const Candidate& c : one.candidates) {
    const Candidate* with = find(other, c);
    if (with == nullptr) continue;
    d.common++;
    const double apart = std::abs(c.logprob - with->logprob);
    if (apart != 0) d.same = false;
    if (apart > d.max_abs) d.max_abs = apart, d.worst = named(c);
    const double p = std::exp(c.logprob) / one_sum, q = std::exp(with->logprob) / other_sum;
    if (p > 0 && q > 0) d.kl += p * std::log(p / q);
    one_rest -= p, other_rest -= q;
  }
  constexpr double kNothing = 1e-9;
  if (one_rest > kNothing && other_rest > kNothing) d.kl += one_rest * std::log(one_rest / other_rest);
  d.kl = std::max(0.0, d.kl);
  add_unmatched(d, one, other);
  add_unmatched(d, other, one);
  d.seen = std::min({1.0, one_mass, other_mass});
  d.top_same = top(one).same_token(top(other));
  return d;
}

double printed_step(std::span<const Reply> replies) {
  for (int decimals = 1; decimals <= kFewDecimals; ++decimals) {
    const double scale = std::pow(10, decimals);
    const auto whole = [&](const Candidate& c) {
      const double scaled = c.logprob * scale;
      return std::abs(scaled - std::round(scaled)) < 1e-9 * std::max(1.0, std::abs(scaled));
    };
    if (std::ranges::all_of(replies, [&](const Reply& r) { return std::ranges::all_of(r.candidates, whole); })) {
      return 1 / scale;
    }
  }
  return 0;
}

}  // namespace pkv::served
