// What is computed element by element, and the norm.
#pragma once

#include "engine/kernels/act.h"
#include "engine/kernels/law/functions.h"
#include "engine/kernels/law/sums.h"

namespace pkv::kernels::law {

// embed: out = scale * value (+ out).
PKV_BOTH float embedded(float scale, float value) { return scale * value; }
PKV_BOTH float embedded(float scale, float value, float out) { return fma(scale, value, out); }

// norm: mean = sum(x) / n, or 0; variance = sum of fma(d, d, .) over d = x - mean, / n; both sums as sums.h has them.
struct Moments {
  float mean, scale;
};
PKV_BOTH float mean_of(float sum, std::int64_t n) { return sum / static_cast<float>(n); }
PKV_BOTH float scale_of(float squares, std::int64_t n, float eps) {
  return 1.f / sqrtf(squares / static_cast<float>(n) + eps);
}
PKV_BOTH float normalised(Moments m, float x, const float* weight, const float* bias) {
  const float y = (x - m.mean) * m.scale;
  if (weight == nullptr) return bias == nullptr ? y : y + *bias;
  return bias == nullptr ? y * *weight : fma(y, *weight, *bias);
}

// rotate
PKV_BOTH void rotated(float& first, float& second, float cos, float sin) {
  const float low = first, high = second;
  first = fma(low, cos, -(high * sin));
  second = fma(high, cos, low * sin);
}
// angles: factor * cos, sin of the exact product of position and frequency.
PKV_BOTH void angle_of(std::int32_t position, float frequency, float factor, float& cos, float& sin) {
  const double p = static_cast<double>(position), f = static_cast<double>(frequency);
  const double angle = f * p, rest = fma(f, p, -angle);
  double c, s;
  cos_sin(angle, rest, c, s);
  cos = static_cast<float>(static_cast<double>(factor) * c);
  sin = static_cast<float>(static_cast<double>(factor) * s);
}

// gate
PKV_BOTH float gated(Act act, float x, float up) { return apply(act, x) * up; }
// With a limit: act(min(x, limit)) * (1 + up held in [-limit, limit]).
PKV_BOTH float gated(Act act, float x, float up, float limit) {
  const float held = up > limit ? limit : up < -limit ? -limit : up;
  return apply(act, smaller(x, limit)) * (1.f + held);
}
PKV_BOTH float xielu(const float* parameters, float x) {
  const float p = parameters[0], n = parameters[1], b = parameters[2], e = parameters[3];
  if (x > 0) return fma(p * x, x, b * x);
  return fma(n, exp_minus_1(smaller(x, e)) - x, b * x);
}

// scale, add
PKV_BOTH float capped(float x, float cap) { return cap * tanh_of(x / cap); }
PKV_BOTH float scaled(float x, float factor, float cap) { return cap > 0 ? capped(factor * x, cap) : factor * x; }
// mix: sum = 0; for each of the chosen: sum = fma(weight, x, sum); then add + sum.
PKV_BOTH float added(float scale, float x, float add) { return fma(scale, x, add); }

}  // namespace pkv::kernels::law
