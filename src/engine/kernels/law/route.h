// Which experts a row goes to: kernels/route.cc with this law's exp, in double, one row by one thread.
#pragma once

#include "engine/kernels/law/functions.h"
#include "engine/kernels/routing.h"

namespace pkv::kernels::law {

// The largest of those not taken, of equal ones the first; or the last. NaN is the least.
PKV_BOTH int best_of(const double* values, const std::uint8_t* taken, int count, bool high_ties) {
  int most = count;
  for (int i = 0; i < count; ++i) {
    if (taken[i] != 0) continue;
    const bool more =
        most == count || values[i] > values[most] || (values[most] != values[most] && values[i] == values[i]);
    if (more || (high_ties && values[i] == values[most])) most = i;
  }
  return most;
}

// Memory that a row's choice works in, aligned to 8.
PKV_BOTH std::int64_t route_scratch(std::int64_t experts) { return (3 * 8 + 3) * experts + 8; }

// Weights and experts [chosen] of a row, experts ascending. `bias` may be null.
PKV_BOTH void choose_experts(const Routing& how, const float* scores, const float* bias, int experts, int chosen,
                             void* scratch, float* weights, std::int32_t* places) {
  using By = Routing::By;
  double *values = static_cast<double*>(scratch), *ranks = values + experts, *sums = ranks + experts;
  auto* taken = reinterpret_cast<std::uint8_t*>(sums + experts);
  std::uint8_t *is_chosen = taken + experts, *others = is_chosen + experts;
  double most = static_cast<double>(scores[0]), sum = 0.;
  for (int i = 0; i < experts; ++i) {
    const double s = static_cast<double>(scores[i]);
    most = most < s ? s : most;
    taken[i] = is_chosen[i] = 0;
  }
  for (int i = 0; i < experts; ++i) {
    const double s = static_cast<double>(scores[i]);
    values[i] = s;
    if (how.by == By::softmax) values[i] = wide_exp(s - most);
    if (how.by == By::sigmoid) values[i] = 1. / (1. + wide_exp(-s));
    sum = sum + values[i];
  }
  const bool by_score = bias == nullptr && how.groups == 1;
  for (int i = 0; i < experts; ++i) {
    if (how.by == By::softmax) values[i] = values[i] / sum;
    ranks[i] = by_score ? static_cast<double>(scores[i]) : values[i];
    if (bias != nullptr) ranks[i] = ranks[i] + static_cast<double>(bias[i]);
    if (how.high_ties) ranks[i] = static_cast<double>(float_of_bf16(bf16_of(static_cast<float>(ranks[i]))));
  }
  if (how.groups > 1) {  // experts outside the best groups count as taken
    const int groups = static_cast<int>(how.groups), each = experts / groups;
    for (int g = 0; g < groups; ++g) {
      for (int i = 0; i < experts; ++i) others[i] = i / each == g ? 0 : 1;
      sums[g] = 0.;
      for (int i = 0; i < (each < 2 ? each : 2); ++i) {
        const int b = best_of(ranks, others, experts, how.high_ties);
        others[b] = 1;
        sums[g] = sums[g] + ranks[b];
      }
    }
    for (int g = 0; g < groups; ++g) others[g] = 0;
    for (int i = 0; i < how.groups_kept; ++i) others[best_of(sums, others, groups, how.high_ties)] = 1;
    for (int i = 0; i < experts; ++i) taken[i] = others[i / each] != 0 ? 0 : 1;
  }
  for (int c = 0; c < chosen; ++c) {
    const int expert = best_of(ranks, taken, experts, how.high_ties);
    if (how.by == By::sparse_mixer) {
      const double top = static_cast<double>(scores[expert]), tolerance = static_cast<double>(how.tolerance);
      double all = 0.;
      for (int i = 0; i < experts; ++i) {
        const double s = static_cast<double>(scores[i]), size = s < 0. ? -s : s;
        const double distance = (top - s) / (size < top ? top : size);
        if (taken[i] == 0 && !(distance > tolerance)) all = all + wide_exp(s - top);
      }
      values[expert] = 1. / all;
    }
    taken[expert] = is_chosen[expert] = 1;
  }
  sum = 0.;
  for (int i = 0; i < experts; ++i) {
    if (is_chosen[i] == 0) continue;
    if (how.by == By::of_chosen) values[i] = wide_exp(static_cast<double>(scores[i]) - most);
    sum = sum + values[i];
  }
  double divisor = how.by == By::of_chosen ? sum : 1.;
  if (how.normalised) {
    const double least = static_cast<double>(how.least);
    divisor = (sum < least ? least : sum) + static_cast<double>(how.more);
  }
  for (int i = 0; i < experts; ++i) {
    if (is_chosen[i] == 0) continue;
    *weights++ = static_cast<float>(static_cast<double>(how.factor) * (values[i] / divisor));
    *places++ = i;
  }
}

}  // namespace pkv::kernels::law
