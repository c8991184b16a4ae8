// Routing is little beside what it decides about, and a table that chose other experts would compute another model. So
// all tables of the host share it, in double, rounded once at the end.
#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/kernels/host.h"
#include "engine/tensor/half.h"

namespace pkv::kernels {

Linear ExpertLinear::of(std::int64_t e) const {
  const auto* first = starts.as<const std::int32_t>() + e;
  const auto* at = addresses.as<const std::int64_t>() + 2 * e;
  Linear l = pairs;
  l.x = pairs.x.rows(first[0], first[1] - first[0]);
  l.out = pairs.out.rows(first[0], first[1] - first[0]);
  View& matrix = l.quantized ? l.quantized.codes : l.weight;
  matrix.data = reinterpret_cast<std::byte*>(at[0]);
  if (l.quantized) l.quantized.scales.data = reinterpret_cast<std::byte*>(at[1]);
  if (l.bias) l.bias = View(pairs.bias.as<float>() + e * pairs.bias.step(0), DType::f32, {pairs.bias[1]});
  return l;
}

namespace host {
namespace {

using By = Routing::By;

// The largest of those not taken, of equal ones the first; or the last. NaN is the least.
std::size_t best(const std::vector<double>& values, const std::vector<bool>& taken, bool high_ties) {
  std::size_t most = values.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (taken[i]) continue;
    const bool more =
        most == values.size() || values[i] > values[most] || (std::isnan(values[most]) && !std::isnan(values[i]));
    if (more || (high_ties && values[i] == values[most])) most = i;
  }
  return most;
}

// Experts outside the best groups count as taken.
void close_groups(const Route& a, const std::vector<double>& values, std::vector<bool>& taken) {
  const std::size_t groups = static_cast<std::size_t>(a.how.groups), each = values.size() / groups;
  std::vector<double> sums(groups);
  for (std::size_t g = 0; g < groups; ++g) {
    std::vector<bool> others(values.size(), true);
    std::fill_n(others.begin() + static_cast<std::ptrdiff_t>(g * each), each, false);
    for (std::size_t i = 0; i < std::min<std::size_t>(2, each); ++i) {
      const std::size_t b = best(values, others, a.how.high_ties);
      others[b] = true;
      sums[g] += values[b];
    }
  }
  std::vector<bool> kept(groups);
  for (std::int64_t i = 0; i < a.how.groups_kept; ++i) kept[best(sums, kept, a.how.high_ties)] = true;
  for (std::size_t i = 0; i < taken.size(); ++i) taken[i] = !kept[i / each];
}

// The weight of `expert`, the largest of those not taken.
double mixed(const std::vector<double>& scores, const std::vector<bool>& taken, std::size_t expert, double tolerance) {
  const double most = scores[expert];
  double sum = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double distance = (most - scores[i]) / std::max(std::fabs(scores[i]), most);
    if (!taken[i] && !(distance > tolerance)) sum += std::exp(scores[i] - most);
  }
  return 1 / sum;
}

}  // namespace

void choose_experts(const Route& a, std::int64_t row) noexcept {
  const auto* at = a.scores.as<const float>() + row * a.scores.step(0);
  const std::vector<double> scores(at, at + a.scores[1]);
  double most = scores[0], sum = 0;
  for (const double s : scores) most = std::max(most, s);
  std::vector<double> values = scores;
  if (a.how.by == By::softmax) {
    for (double& v : values) sum += v = std::exp(v - most);
    for (double& v : values) v /= sum;
  }
  if (a.how.by == By::sigmoid) {
    for (double& v : values) v = 1 / (1 + std::exp(-v));
  }
  const bool by_score = !a.bias && a.how.groups == 1;
  std::vector<double> ranks = by_score ? scores : values;
  for (std::size_t i = 0; a.bias && i < ranks.size(); ++i) ranks[i] += a.bias.as<const float>()[i];

  std::vector<bool> taken(scores.size());
  if (a.how.high_ties) {
    for (double& r : ranks) r = to_float(to_bf16(static_cast<float>(r)));
  }
  if (a.how.groups > 1) close_groups(a, ranks, taken);
  std::vector<bool> chosen(scores.size());
  std::vector<double> weights = values;
  for (std::int64_t i = 0; i < a.weights[1]; ++i) {
    const std::size_t expert = best(ranks, taken, a.how.high_ties);
    if (a.how.by == By::sparse_mixer)
      weights[expert] = mixed(scores, taken, expert, static_cast<double>(a.how.tolerance));
    taken[expert] = chosen[expert] = true;
  }
  sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!chosen[i]) continue;
    if (a.how.by == By::of_chosen) weights[i] = std::exp(scores[i] - most);  // the largest is among them
    sum += weights[i];
  }
  double divisor = a.how.by == By::of_chosen ? sum : 1;
  if (a.how.normalised) divisor = std::max(sum, static_cast<double>(a.how.least)) + static_cast<double>(a.how.more);
  auto* to = a.weights.as<float>() + row * a.weights.step(0);
  auto* experts = a.places.as<std::int32_t>() + row * a.places.step(0);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!chosen[i]) continue;
    *to++ = static_cast<float>(static_cast<double>(a.how.factor) * (weights[i] / divisor));
    *experts++ = static_cast<std::int32_t>(i);
  }
}

void group_by_expert(const Route& a) noexcept {
  auto* starts = a.starts.as<std::int32_t>();
  const std::int64_t experts = a.scores[1];
  std::fill(starts, starts + experts + 1, 0);
  const auto each = [&](const auto& body) {
    for (std::int64_t r = 0; r < a.places[0]; ++r) {
      for (std::int64_t i = 0; i < a.places[1]; ++i) body(r, a.places.as<std::int32_t>()[r * a.places.step(0) + i]);
    }
  };
  each([&](std::int64_t, std::int32_t expert) { ++starts[expert + 1]; });
  for (std::int64_t e = 0; e < experts; ++e) starts[e + 1] += starts[e];
  std::vector<std::int32_t> next(starts, starts + experts);
  each([&](std::int64_t r, std::int32_t& place) {
    place = next[static_cast<std::size_t>(place)]++;
    a.rows.as<std::int32_t>()[place] = static_cast<std::int32_t>(r);
  });
}

}  // namespace host
}  // namespace pkv::kernels
