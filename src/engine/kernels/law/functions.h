// exp, tanh, the normal distribution, sine and cosine, and the elementwise functions made of them: by sums, products,
// divisions and fma only, so that they have the same bits wherever they are compiled. Errors against the definition
// (kernels::apply), in units of 2^-24 of the result: those of cpu/math-inl.h, and within one for mish, hardswish,
// gelu_10, laplace and sqrtsoftplus, which are computed in double. What is not a number stays that.
#pragma once

#include "engine/kernels/act.h"
#include "engine/kernels/law/both.h"

namespace pkv::kernels::law {

// x = k ln 2 + r, |r| <= ln 2 / 2; e^r by a polynomial of degree 6, off by 0.2 units.
struct Reduced {
  float r;
  std::int32_t k;  // anything where r is not a number
};
PKV_BOTH Reduced reduced(float held) {
  const float shifted = held * 1.44269504f + kRounder, k = shifted - kRounder;
  // ln 2 in two parts, of which the first has 15 bits: k times it is exact.
  const float r = fma(-k, 0x1.7f7d1cp-20f, fma(-k, 0x1.62e4p-1f, held));
  return {r, static_cast<std::int32_t>(bits_of(shifted) - bits_of(kRounder))};
}
PKV_BOTH float exp_of_rest(float r) {
  float p = 0x1.6d112cp-10f;
  p = fma(p, r, 0x1.120b9p-7f);
  p = fma(p, r, 0x1.55551ap-5f);
  p = fma(p, r, 0x1.5554dcp-3f);
  p = fma(p, r, 0.5f);
  return fma(r * r, p, r) + 1.f;
}

// e^x. The power of two in two steps, the first of which is exact: results may be subnormal or infinite.
PKV_BOTH float exp_of(float x) {
  const Reduced a = reduced(smaller(larger(x, -105.f), 90.f));
  const std::int32_t half = a.k >> 1;
  return exp_of_rest(a.r) * power_of_two(half) * power_of_two(a.k - half);
}

// e^x - 1, x < 88
PKV_BOTH float exp_minus_1(float x) {
  if (x > -0.4f && x < 0.4f) {
    float p = 0x1.a17daap-13f;
    p = fma(p, x, 0x1.6da704p-10f);
    p = fma(p, x, 0x1.1110bcp-7f);
    p = fma(p, x, 0x1.555496p-5f);
    p = fma(p, x, 0x1.555556p-3f);
    p = fma(p, x, 0.5f);
    return fma(x * x, p, x);
  }
  return exp_of(x) - 1.f;
}

// e^d for d <= 0, a weight of attention; 1 for 0; below 2^-64 it is 0, which against a weight of 1 is nothing.
PKV_BOTH float weight_of(float d) {
  const float y = d * 1.44269504f;
  if (y < -64.f) return 0.f;
  const float shifted = y + kRounder, r = y - (shifted - kRounder);
  float p = 0x1.44138ap-13f;
  p = fma(p, r, 0x1.5f089p-10f);
  p = fma(p, r, 0x1.3b2a54p-7f);
  p = fma(p, r, 0x1.c6af6cp-5f);
  p = fma(p, r, 0x1.ebfbep-3f);
  p = fma(p, r, 0x1.62e43p-1f);
  p = fma(p, r, 1.f);
  return p * power_of_two(static_cast<std::int32_t>(bits_of(shifted) - bits_of(kRounder)));
}

PKV_BOTH float sigmoid_of(float x) { return 1.f / (1.f + exp_of(-x)); }
// x * sigmoid(u)
PKV_BOTH float gated_by(float x, float u) { return x / (1.f + exp_of(-u)); }

// An odd polynomial below 0.625, 1 - 2 / (e^2x + 1) above.
PKV_BOTH float tanh_of(float x) {
  const float z = magnitude(x);
  if (z < 0.625f) {
    const float u = x * x;
    float p = -0.00609671408f;
    p = fma(p, u, 0.0209971778f);
    p = fma(p, u, -0.0538509097f);
    p = fma(p, u, 0.133327693f);
    p = fma(p, u, -0.33333329f);
    return fma(p * u, x, x);
  }
  if (is_nan(x)) return x;
  return with_sign_of(1.f - 2.f / (exp_of(z + z) + 1.f), x);
}

// Of t = 1 / (1 + 0.3 z): the tail of the normal distribution beyond z >= 0 is e^(-z^2/2) t P(t).
template <class T>
PKV_BOTH T normal_polynomial(T t) {
  T p = static_cast<T>(-0.0209560242f);
  p = fma(p, t, static_cast<T>(0.114257453f));
  p = fma(p, t, static_cast<T>(-0.232524407f));
  p = fma(p, t, static_cast<T>(0.197550584f));
  p = fma(p, t, static_cast<T>(-0.084213481f));
  p = fma(p, t, static_cast<T>(0.0987113821f));
  p = fma(p, t, static_cast<T>(0.0775179011f));
  p = fma(p, t, static_cast<T>(0.110418411f));
  p = fma(p, t, static_cast<T>(0.119550431f));
  return fma(p, t, static_cast<T>(0.119687748f)) * t;
}
PKV_BOTH float normal_tail(float z) {
  const float held = smaller(z, 14.5f), square = held * held;
  const float lost = fma(held, held, -square);
  const float e = exp_of(square * -0.5f);
  return normal_polynomial(1.f / fma(held, 0.3f, 1.f)) * fma(e * lost, -0.5f, e);
}
PKV_BOTH float gelu_of(float x) {
  const float tail = normal_tail(magnitude(x));
  return x < 0.f ? x * tail : fma(-smaller(x, 14.5f), tail, x);  // held: infinity * 0 is not a number
}

// In double, to some 2^-40: for the functions that are rare.
PKV_BOTH double wide_exp(double x) {
  if (x < -700.) return 0.;
  const double held = x > 700. ? 700. : x;
  const double shifted = held * 0x1.71547652b82fep+0 + 0x1.8p52, k = shifted - 0x1.8p52;
  const double r = fma(-k, 0x1.a39ef35793c76p-33, fma(-k, 0x1.62e42feep-1, held));
  double p = 1. / 479001600.;
  double n = 39916800.;
  for (int i = 11; i >= 0; --i) {
    p = fma(p, r, 1. / n);
    n = i > 0 ? n / i : n;
  }
  return p * double_power_of_two(static_cast<std::int32_t>(bits_of(shifted) - bits_of(0x1.8p52)));
}
// log(1 + t), t in [0, e^20]
PKV_BOTH double wide_log_1_plus(double t) {
  // 1 + t = 2^k m, m in [0.7, 1.5); log m = 2 artanh(s), s = (m - 1) / (m + 1); t itself where 1 + t would lose it.
  std::int32_t k = 0;
  double above = t;  // m - 1
  if (t > 0.5) {
    const std::uint64_t u = bits_of(1. + t);
    k = static_cast<std::int32_t>(u >> 52) - 1023;
    double m = double_of((u & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (m > 1.4) m = m * 0.5, k = k + 1;
    above = m - 1.;
  }
  const double s = above / (2. + above), u = s * s;
  double p = 1. / 25.;
  for (int i = 23; i > 0; i -= 2) p = fma(p, u, 1. / i);
  return fma(static_cast<double>(k), 0x1.62e42fefa39efp-1, 2. * s * p);
}
PKV_BOTH double wide_softplus(double x) { return x > 20. ? x : wide_log_1_plus(wide_exp(x)); }
// The normal distribution below z.
PKV_BOTH double wide_normal(double z) {
  const double size = z < 0. ? -z : z, held = size > 14.5 ? 14.5 : size;
  const double tail = normal_polynomial(1. / fma(held, 0.3, 1.)) * wide_exp(held * held * -0.5);
  return z < 0. ? tail : 1. - tail;
}

PKV_BOTH float mish_of(float of) {
  const double x = static_cast<double>(of);
  if (x > 20.) return of;
  const double e = wide_exp(x), n = e * (e + 2.);
  return static_cast<float>(x * (n / (n + 2.)));  // tanh(log(1 + e))
}
PKV_BOTH float hardswish_of(float of) {
  const double x = static_cast<double>(of), y = x + 3.;
  return static_cast<float>(x * (y < 0. ? 0. : y > 6. ? 6. : y) / 6.);
}
PKV_BOTH float gelu_10_of(float of) {
  const double x = static_cast<double>(of), held = x > 20. ? 20. : x < -40. ? -40. : x, y = held * wide_normal(held);
  return static_cast<float>(y > 10. ? 10. : y);
}
PKV_BOTH float laplace_of(float x) {
  // erf(z) is twice the normal distribution below z sqrt(2), less 1.
  return static_cast<float>(wide_normal((static_cast<double>(x) - 0.707107) / 0.282095));
}
PKV_BOTH float sqrtsoftplus_of(float x) { return static_cast<float>(sqrt(wide_softplus(static_cast<double>(x)))); }

PKV_BOTH float apply(Act act, float x) {
  switch (act) {
    case Act::identity:
      return x;
    case Act::relu:
      return x < 0.f ? 0.f : x;
    case Act::relu2: {
      const float y = x < 0.f ? 0.f : x;
      return y * y;
    }
    case Act::relu6:
      return x < 0.f ? 0.f : x > 6.f ? 6.f : x;
    case Act::leaky_relu:
      return x < 0.f ? x * 0.01f : x;
    case Act::gelu:
      return gelu_of(x);
    case Act::gelu_tanh:  // 0.5 x (1 + tanh u) = x sigmoid(2u)
      return gated_by(x, x * fma(x * x, 0.0713548162f, 1.59576912f));
    case Act::quick_gelu:
      return gated_by(x, x * 1.702f);
    case Act::silu:
      return gated_by(x, x);
    case Act::sigmoid:
      return sigmoid_of(x);
    case Act::tanh:
      return tanh_of(x);
    case Act::mish:
      return mish_of(x);
    case Act::hardswish:
      return hardswish_of(x);
    case Act::gelu_10:
      return gelu_10_of(x);
    case Act::laplace:
      return laplace_of(x);
    case Act::sqrtsoftplus:
      return sqrtsoftplus_of(x);
  }
  return x;
}

// cos and sin of angle + rest, |angle| < 2^31, |rest| <= 2^-53 |angle|: off by less than 2^-50 of 1. n quarter turns
// are taken off by pi / 2 in three parts; the first fma is exact.
PKV_BOTH void cos_sin(double angle, double rest, double& cos, double& sin) {
  const double shifted = angle * 0x1.45f306dc9c883p-1 + 0x1.8p52, n = shifted - 0x1.8p52;
  double r = fma(-n, 0x1.921fb54442d18p+0, angle);
  r = fma(-n, 0x1.1a62633145c07p-54, r);
  r = fma(-n, -0x1.f1976b8p-110, r) + rest;
  const double u = r * r;
  // The series, as far as they matter for |r| <= pi / 4.
  double s = 1. / 355687428096000., c = 1. / 20922789888000.;
  s = fma(s, u, -1. / 1307674368000.), c = fma(c, u, -1. / 87178291200.);
  s = fma(s, u, 1. / 6227020800.), c = fma(c, u, 1. / 479001600.);
  s = fma(s, u, -1. / 39916800.), c = fma(c, u, -1. / 3628800.);
  s = fma(s, u, 1. / 362880.), c = fma(c, u, 1. / 40320.);
  s = fma(s, u, -1. / 5040.), c = fma(c, u, -1. / 720.);
  s = fma(s, u, 1. / 120.), c = fma(c, u, 1. / 24.);
  s = fma(s, u, -1. / 6.), c = fma(c, u, -0.5);
  s = fma(s * u, r, r), c = fma(c, u, 1.);
  const std::uint64_t turns = bits_of(shifted) & 3u;  // of a quarter
  const double swapped = (turns & 1u) != 0 ? s : c;
  sin = (turns & 1u) != 0 ? c : s;
  cos = swapped;
  if (turns == 1 || turns == 2) cos = -cos;
  if (turns >= 2) sin = -sin;
}

}  // namespace pkv::kernels::law
