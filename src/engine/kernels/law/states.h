// Convolutions and recurrences along the tokens of a sequence.
#pragma once

#include "engine/kernels/law/functions.h"
#include "engine/kernels/law/sums.h"

namespace pkv::kernels::law {

// convolve: sum = 0; from the oldest tap on: sum = fma(weight, x, sum); then + bias, then act.

// recur: what a token does to the matrix of its head. A column of values each, and in it sums over the keys by
// kKeyChains chains of fma, key i in chain i % kKeyChains, ascending, from 0, and their tree (x + x[chain ^ 4], then 2,
// then 1).
//   kept_i = decay * S_i;   found = sum of k_i kept_i;   u = sigmoid(b) * (v - found), without b: u = step * v
//   S_i = fma(k_i, u, kept_i);   out = sum of q_i S_i, and then fma(skip, v, out) where there is a skip
constexpr int kKeyChains = 8;
PKV_BOTH float tree_of_keys(const float (&c)[kKeyChains]) {
  return ((c[0] + c[4]) + (c[2] + c[6])) + ((c[1] + c[5]) + (c[3] + c[7]));
}

// Once a token and head, so in double.
struct TokenStep {
  float step, decay;
};
PKV_BOTH TokenStep token_step(float a, float bias, float rate, float least, float most) {
  const double x = static_cast<double>(a) + static_cast<double>(bias), below = x < 0. ? x : -x;
  double s = (x > 0. ? x : 0.) + wide_log_1_plus(wide_exp(below));
  s = s < static_cast<double>(least) ? static_cast<double>(least) : s;
  s = s > static_cast<double>(most) ? static_cast<double>(most) : s;
  return {static_cast<float>(s), static_cast<float>(wide_exp(-(static_cast<double>(rate) * s)))};
}

}  // namespace pkv::kernels::law
