// What the vector kernels share: loads that widen to fp32 and stores that narrow, the fixed fold of a vector, loops
// over a row. Included once per instruction set, inside foreach_target.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/tensor/half.h"
#include "hwy/highway.h"

#if defined(PKV_KERNELS_CPU_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_LANES_INL_H_
#undef PKV_KERNELS_CPU_LANES_INL_H_
#else
#define PKV_KERNELS_CPU_LANES_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vec = hn::Vec<Floats>;
using Int = std::int64_t;
constexpr Int kLanes = HWY_LANES(float);
constexpr int kRegisters = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 32 : 16;

// Lanes of `d`, widened to fp32, from memory that need not be aligned, not even for its element type.
template <class D>
HWY_INLINE hn::Vec<D> widen(D d, const float* p) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    float x;
    std::memcpy(&x, p, sizeof x);
    return hn::Set(d, x);
  } else {
    return hn::LoadU(d, p);
  }
}
template <class D>
HWY_INLINE hn::Vec<D> widen(D d, const f16* p) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    f16 x;
    std::memcpy(&x, p, sizeof x);
    return hn::Set(d, to_float(x));
#if HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_EMU128
  } else {  // no instruction, and Highway's substitute makes 65536 of infinity
    const hn::Rebind<std::uint32_t, D> wide;
    const hn::Rebind<std::uint16_t, D> half;
    const auto bits = hn::PromoteTo(wide, hn::LoadU(half, reinterpret_cast<const std::uint16_t*>(p)));
    const auto rest = hn::And(bits, hn::Set(wide, 0x7fff));
    const auto moved = hn::ShiftLeft<13>(rest);  // the exponent is 112 too small now, of subnormals too
    const auto scaled = hn::BitCast(wide, hn::Mul(hn::BitCast(d, moved), hn::Set(d, 0x1p112f)));
    const auto special = hn::Or(moved, hn::Set(wide, 0x7f800000));
    const auto finite = hn::Lt(hn::BitCast(hn::RebindToSigned<D>(), rest), hn::Set(hn::RebindToSigned<D>(), 0x7c00));
    const auto magnitude = hn::IfThenElse(hn::RebindMask(wide, finite), scaled, special);
    return hn::BitCast(d, hn::Or(magnitude, hn::ShiftLeft<16>(hn::Xor(bits, rest))));
#else
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, D>(), reinterpret_cast<const hwy::float16_t*>(p)));
#endif
  }
}
template <class D>
HWY_INLINE hn::Vec<D> widen(D d, const bf16* p) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    bf16 x;
    std::memcpy(&x, p, sizeof x);
    return hn::Set(d, to_float(x));
  } else {
    const hn::Rebind<std::uint32_t, D> wide;
    const hn::Rebind<std::uint16_t, D> narrow;
    const auto bits = hn::PromoteTo(wide, hn::LoadU(narrow, reinterpret_cast<const std::uint16_t*>(p)));
    return hn::BitCast(d, hn::ShiftLeft<16>(bits));
  }
}

// The first `count` < kLanes elements at `p`, zeros behind them; reads nothing past them.
template <class T>
HWY_INLINE Vec widen_first(Int count, const T* p) {
  alignas(64) T padded[kLanes] = {};
  std::memcpy(padded, p, static_cast<std::size_t>(count) * sizeof(T));
  return widen(Floats(), padded);
}

// The reverse: to the nearest, ties to even, as engine/tensor/half.h does it. `p` is aligned for its type.
template <class D>
HWY_INLINE void narrow(D d, hn::Vec<D> x, float* p) {
  hn::StoreU(x, d, p);
}
template <class D>
HWY_INLINE void narrow(D d, hn::Vec<D> x, f16* p) {
  constexpr std::size_t n = hn::MaxLanes(D());
  if constexpr (n > 1 && (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3)) {
    const hn::Rebind<hwy::float16_t, D> half;
    hn::StoreU(hn::DemoteTo(half, x), half, reinterpret_cast<hwy::float16_t*>(p));
  } else {
    HWY_ALIGN float each[n];
    hn::Store(x, d, each);
    for (std::size_t i = 0; i < n; ++i) p[i] = to_f16(each[i]);
  }
}
template <class D>
HWY_INLINE void narrow([[maybe_unused]] D d, hn::Vec<D> x, bf16* p) {
  constexpr std::size_t n = hn::MaxLanes(D());
  if constexpr (n == 1) {
    p[0] = to_bf16(hn::GetLane(x));
  } else {
    const hn::Rebind<std::uint32_t, D> wide;
    const hn::Rebind<std::int32_t, D> whole;
    const hn::Rebind<std::uint16_t, D> half;
    const auto bits = hn::BitCast(wide, x);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(wide, 1));
    const auto rounded = hn::Add(hn::Add(bits, hn::Set(wide, 0x7fff)), odd);
    const auto quiet = hn::Or(bits, hn::Set(wide, 0x400000));
    const auto chosen = hn::IfThenElse(hn::RebindMask(wide, hn::IsNaN(x)), quiet, rounded);
    const auto high = hn::BitCast(whole, hn::ShiftRight<16>(chosen));  // below 2^16, so nothing saturates
    hn::StoreU(hn::DemoteTo(half, high), half, reinterpret_cast<std::uint16_t*>(p));
  }
}

// Sums over the lanes of a vector by one fixed tree, wherever the vector stands: upper half plus lower half until
// blocks of four lanes are left, then (0+2) + (1+3). The first two give halves and quarters of several vectors at a
// time.
#if HWY_TARGET != HWY_SCALAR
// [a | b], each half the sum of the two halves of one vector.
HWY_INLINE Vec sum_halves(Vec a, Vec b) {
  const Floats d;
  return hn::Add(hn::ConcatUpperLower(d, b, a), hn::ConcatLowerUpper(d, b, a));
}
#if HWY_TARGET == HWY_AVX3
// Blocks of four lanes [p0+p1, p2+p3, q0+q1, q2+q3]. Highway has no name for this shuffle.
HWY_INLINE Vec sum_blocks(Vec p, Vec q) {
  return hn::Add(Vec{_mm512_shuffle_f32x4(p.raw, q.raw, 0x88)}, Vec{_mm512_shuffle_f32x4(p.raw, q.raw, 0xdd)});
}
#endif
// In each block, lane i: the sum of the block of a, b, c, e.
HWY_INLINE Vec sum_lanes(Vec a, Vec b, Vec c, Vec e) {
  const Floats d;
  const hn::Repartition<std::uint64_t, Floats> pairs;
  const auto ab = hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  const auto ce = hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e)));
  return hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, ab, ce)),
                 hn::BitCast(d, hn::InterleaveUpper(pairs, ab, ce)));
}
#endif

// Lane i: the sum of v[i].
HWY_INLINE Vec fold_lanes(const Vec (&v)[kLanes]) {
#if HWY_TARGET == HWY_SCALAR
  return v[0];
#elif HWY_TARGET == HWY_AVX3
  const auto quarter = [&v](int i)
                           HWY_ATTR { return sum_blocks(sum_halves(v[i], v[i + 4]), sum_halves(v[i + 8], v[i + 12])); };
  return sum_lanes(quarter(0), quarter(1), quarter(2), quarter(3));
#else
  if constexpr (kLanes == 8) {
    return sum_lanes(sum_halves(v[0], v[4]), sum_halves(v[1], v[5]), sum_halves(v[2], v[6]), sum_halves(v[3], v[7]));
  } else {
    return sum_lanes(v[0], v[1], v[2], v[3]);
  }
#endif
}

// out[0..3] = the sums of a, b, c and e, by the same tree.
HWY_INLINE void fold4(Vec a, Vec b, Vec c, Vec e, float* out) {
#if HWY_TARGET == HWY_SCALAR
  out[0] = hn::GetLane(a);
  out[1] = hn::GetLane(b);
  out[2] = hn::GetLane(c);
  out[3] = hn::GetLane(e);
#elif HWY_TARGET == HWY_AVX3
  const Vec blocks = sum_blocks(sum_halves(a, b), sum_halves(c, e));
  const Vec sums = sum_lanes(blocks, blocks, blocks, blocks);
  hn::StoreU(hn::Vec128<float>{_mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, sums.raw))},
             hn::Full128<float>(), out);
#else
  if constexpr (kLanes == 8) {
    const Vec ac = sum_halves(a, c), be = sum_halves(b, e);
    const Vec sums = sum_lanes(ac, be, ac, be);  // a b a b | c e c e
    const hn::Half<Floats> h;
    hn::StoreU(hn::ConcatLowerLower(h, hn::UpperHalf(h, sums), hn::LowerHalf(h, sums)), h, out);
  } else {
    hn::StoreU(sum_lanes(a, b, c, e), Floats(), out);
  }
#endif
}

// Calls body(d, i) for pieces of [0, n): whole vectors, then four lanes, then one, so that nothing is read or written
// past n. For operations that treat every lane alone: an element's value does not depend on the width of its piece.
template <class Body>
HWY_INLINE void for_lanes(Int n, const Body& body) {
  Int i = 0;
  for (; i + kLanes <= n; i += kLanes) body(Floats(), i);
  if constexpr (kLanes > 4) {
    for (; i + 4 <= n; i += 4) body(hn::FixedTag < float, kLanes<4 ? 1 : 4>(), i);
  }
  if constexpr (kLanes > 1) {
    for (; i < n; ++i) body(hn::FixedTag<float, 1>(), i);
  }
}

// to[i] = from[i], rounded to fp16.
template <class T>
HWY_INLINE void round_to_half(const T* from, Int n, float* to) {
  alignas(64) f16 half[kLanes];
  for_lanes(n, [&](auto d, Int i) HWY_ATTR {
    narrow(d, widen(d, from + i), half);
    hn::StoreU(widen(d, half), d, to + i);
  });
}

// out[i] = the integer nearest to x[i] * factor, ties to even.
template <class T>
HWY_INLINE void round_all(const float* x, Int n, float factor, T* out) {
  for_lanes(n, [&](auto d, Int i) HWY_ATTR {
    const hn::Rebind<T, decltype(d)> narrow;
    const auto whole = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor)));
    hn::StoreU(hn::DemoteTo(narrow, whole), narrow, out + i);
  });
}

}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
