// What the vector kernels share: loads that widen to fp32, the fixed fold of four vectors, loops over a row.
// Included once per instruction set, inside foreach_target.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "tensor/half.h"

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
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, D>(), reinterpret_cast<const hwy::float16_t*>(p)));
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

// out[0..3] = the sums over the lanes of a, b, c and e. One fixed tree: inside each block of four lanes (0+2) + (1+3),
// then upper half of the blocks to lower half until one is left. The sum of a vector does not depend on its place.
HWY_INLINE void fold4(Vec a, Vec b, Vec c, Vec e, float* out) {
#if HWY_TARGET == HWY_SCALAR
  out[0] = hn::GetLane(a);
  out[1] = hn::GetLane(b);
  out[2] = hn::GetLane(c);
  out[3] = hn::GetLane(e);
#else
  const Floats d;
  const hn::Repartition<std::uint64_t, Floats> pairs;
  const auto ab = hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  const auto ce = hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e)));
  const auto even = hn::BitCast(d, hn::InterleaveLower(pairs, ab, ce));
  const auto odd = hn::BitCast(d, hn::InterleaveUpper(pairs, ab, ce));
  const auto blocks = hn::Add(even, odd);
  if constexpr (kLanes == 16) {
    const hn::Half<Floats> h;
    const hn::Half<hn::Half<Floats> > q;
    const auto half = hn::Add(hn::LowerHalf(h, blocks), hn::UpperHalf(h, blocks));
    hn::StoreU(hn::Add(hn::LowerHalf(q, half), hn::UpperHalf(q, half)), q, out);
  } else if constexpr (kLanes == 8) {
    const hn::Half<Floats> h;
    hn::StoreU(hn::Add(hn::LowerHalf(h, blocks), hn::UpperHalf(h, blocks)), h, out);
  } else {
    hn::StoreU(blocks, d, out);
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

}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
