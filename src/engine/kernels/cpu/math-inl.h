// exp, tanh, the normal distribution function and the elementwise functions made of them, on vectors. A lane's result
// depends on that lane alone. Errors against the definition (kernels::apply), as tests/kernels/act_test.cc checks them,
// in units of 2^-24 of the result, with one more for its own rounding, and 2^-125 (of x, where x is a factor) where
// results leave the normal numbers:
//   tanh 3, sigmoid 4, silu 5, gelu 8 (8 + x^2 for x < 0 where multiply-adds are not fused: SSE4, SCALAR),
//   quick_gelu 5 + 2 |x| and gelu_tanh 6 + 3 u, u = 1.6 |x| (1 + 0.045 x^2), for x < 0: there the result is x e^-u in
//   the main, and rounding u moves it by that much. The simple ones are correctly rounded or off by one unit; mish,
//   hardswish, gelu_10, laplace and sqrtsoftplus call the definition.
// Included once per instruction set, inside foreach_target.
#include "engine/kernels/cpu/lanes-inl.h"
#include "engine/kernels/kernels.h"

#if defined(PKV_KERNELS_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_MATH_INL_H_
#undef PKV_KERNELS_CPU_MATH_INL_H_
#else
#define PKV_KERNELS_CPU_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {

HWY_INLINE Vec constant(float x) { return hn::Set(Floats(), x); }

// 2^k for k in [-126, 127].
template <class V>
HWY_INLINE Vec power_of_two(V k) {
  const hn::RebindToSigned<Floats> di;
  return hn::BitCast(Floats(), hn::ShiftLeft<23>(hn::Add(k, hn::Set(di, 127))));
}

// p 2^k, rounded once, for whole k in [-152, 130] and p in [0.7, 1.5]. In two steps, of which the first is exact,
// results can be subnormal or infinite without surprises; AVX-512 has one instruction for it, for which Highway has no
// name.
HWY_INLINE Vec scale_by_power_of_two(Vec p, Vec k) {
#if HWY_TARGET == HWY_AVX3
  return Vec{_mm512_scalef_ps(p.raw, k.raw)};
#else
  const auto whole = hn::ConvertTo(hn::RebindToSigned<Floats>(), k);
  const auto first = hn::ShiftRight<1>(whole);
  return hn::Mul(hn::Mul(p, power_of_two(first)), power_of_two(hn::Sub(whole, first)));
#endif
}

// e^x. x = k ln 2 + r with |r| <= ln 2 / 2; e^r by a polynomial of degree 6, off by 0.2 * 2^-24 (interpolated at
// Chebyshev nodes).
HWY_INLINE Vec exp_lanes(Vec x) {
  const Vec held = hn::Min(hn::Max(x, constant(-105.f)), constant(90.f));
  const Vec k = hn::Round(hn::Mul(held, constant(1.44269504f)));
  Vec r = hn::NegMulAdd(k, constant(0x1.62e4p-1f), held);  // 15 bits: k times it is exact, with or without fusing
  r = hn::NegMulAdd(k, constant(0x1.7f7d1cp-20f), r);
  Vec p = constant(0x1.6d112cp-10f);
  p = hn::MulAdd(p, r, constant(0x1.120b9p-7f));
  p = hn::MulAdd(p, r, constant(0x1.55551ap-5f));
  p = hn::MulAdd(p, r, constant(0x1.5554dcp-3f));
  p = hn::MulAdd(p, r, constant(0.5f));
  p = hn::MulAdd(hn::Mul(r, r), p, r);
  p = hn::Add(p, constant(1.f));
  return hn::IfThenElse(hn::IsNaN(x), x, scale_by_power_of_two(p, k));
}

HWY_INLINE Vec sigmoid_lanes(Vec x) {
  const Vec one = constant(1.f);
  return hn::Div(one, hn::Add(one, exp_lanes(hn::Neg(x))));
}

// x * sigmoid(u)
HWY_INLINE Vec gated(Vec x, Vec u) { return hn::Div(x, hn::Add(constant(1.f), exp_lanes(hn::Neg(u)))); }

// Odd polynomial below 0.625, 1 - 2 / (e^2x + 1) above.
HWY_INLINE Vec tanh_lanes(Vec x) {
  const Vec z = hn::Abs(x), one = constant(1.f);
  const Vec u = hn::Mul(x, x);
  Vec p = constant(-0.00609671408f);
  p = hn::MulAdd(p, u, constant(0.0209971778f));
  p = hn::MulAdd(p, u, constant(-0.0538509097f));
  p = hn::MulAdd(p, u, constant(0.133327693f));
  p = hn::MulAdd(p, u, constant(-0.33333329f));
  const Vec low = hn::MulAdd(hn::Mul(p, u), x, x);
  const Vec e = exp_lanes(hn::Add(z, z));
  const Vec high = hn::Sub(one, hn::Div(constant(2.f), hn::Add(e, one)));
  return hn::IfThenElse(hn::Lt(z, constant(0.625f)), low, hn::CopySign(high, x));
}

// Phi(-z), z >= 0: e^(-z^2/2) t P(t) with t = 1 / (1 + 0.3 z), P of degree 9, off by 0.1 * 2^-24 for z <= 14.5.
HWY_INLINE Vec normal_tail(Vec z) {
  const Vec one = constant(1.f);
  const Vec held = hn::Min(z, constant(14.5f));
  const Vec t = hn::Div(one, hn::MulAdd(held, constant(0.3f), one));
  Vec p = constant(-0.0209560242f);
  p = hn::MulAdd(p, t, constant(0.114257453f));
  p = hn::MulAdd(p, t, constant(-0.232524407f));
  p = hn::MulAdd(p, t, constant(0.197550584f));
  p = hn::MulAdd(p, t, constant(-0.084213481f));
  p = hn::MulAdd(p, t, constant(0.0987113821f));
  p = hn::MulAdd(p, t, constant(0.0775179011f));
  p = hn::MulAdd(p, t, constant(0.110418411f));
  p = hn::MulAdd(p, t, constant(0.119550431f));
  p = hn::MulAdd(p, t, constant(0.119687748f));
  const Vec square = hn::Mul(held, held);
  const Vec lost = hn::MulSub(held, held, square);  // what rounding the square lost; 0 where nothing is fused
  const Vec e = exp_lanes(hn::Mul(square, constant(-0.5f)));
  return hn::Mul(hn::Mul(t, p), hn::NegMulAdd(hn::Mul(e, lost), constant(0.5f), e));
}

HWY_INLINE Vec gelu_lanes(Vec x) {
  const Vec tail = normal_tail(hn::Abs(x));
  const Vec high = hn::NegMulAdd(hn::Min(x, constant(14.5f)), tail, x);  // held: infinity * 0 is NaN
  return hn::IfThenElse(hn::Lt(x, hn::Zero(Floats())), hn::Mul(x, tail), high);
}

HWY_INLINE Vec act_lanes(Act act, Vec x) {
  const Vec zero = hn::Zero(Floats());
  switch (act) {
    case Act::identity:
      return x;
    case Act::relu:
      return hn::IfThenElse(hn::Lt(x, zero), zero, x);
    case Act::relu2: {
      const Vec y = hn::IfThenElse(hn::Lt(x, zero), zero, x);
      return hn::Mul(y, y);
    }
    case Act::relu6: {
      const Vec y = hn::IfThenElse(hn::Lt(x, zero), zero, x);
      return hn::IfThenElse(hn::Gt(y, constant(6.f)), constant(6.f), y);
    }
    case Act::leaky_relu:
      return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(x, constant(0.01f)), x);
    case Act::gelu:
      return gelu_lanes(x);
    case Act::gelu_tanh: {
      // 0.5 x (1 + tanh u) = x sigmoid(2u)
      const Vec u = hn::Mul(x, hn::MulAdd(hn::Mul(x, x), constant(0.0713548162f), constant(1.59576912f)));
      return gated(x, u);
    }
    case Act::quick_gelu:
      return gated(x, hn::Mul(x, constant(1.702f)));
    case Act::silu:
      return gated(x, x);
    case Act::sigmoid:
      return sigmoid_lanes(x);
    case Act::tanh:
      return tanh_lanes(x);
    default: {
      alignas(64) float each[kLanes];
      hn::Store(x, Floats(), each);
      for (float& e : each) e = static_cast<float>(apply(act, static_cast<double>(e)));
      return hn::Load(Floats(), each);
    }
  }
}

// x[i] = act(x[i]) for i in [0, n). The memory holds whole vectors: it is read and written up to the next multiple of
// kLanes.
HWY_INLINE void act_row(Act act, float* x, Int n) {
  const Floats d;
  const auto each = [&](auto function) HWY_ATTR {
    for (Int i = 0; i < n; i += kLanes) hn::Store(function(hn::Load(d, x + i)), d, x + i);
  };
  switch (act) {  // the common ones get a loop of their own
    case Act::identity:
      return;
    case Act::gelu:
      return each([](Vec v) HWY_ATTR { return gelu_lanes(v); });
    case Act::gelu_tanh:
      return each([](Vec v) HWY_ATTR { return act_lanes(Act::gelu_tanh, v); });
    case Act::silu:
      return each([](Vec v) HWY_ATTR { return act_lanes(Act::silu, v); });
    default:
      return each([act](Vec v) HWY_ATTR { return act_lanes(act, v); });
  }
}

}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
