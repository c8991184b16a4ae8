// Sums of products of 16-bit integers, in vectors of 32-bit sums. Exact, so any order will do; but each lane holds the
// products of its own words, whatever the path. Included once per instruction set, inside foreach_target.
#include <cstdint>

#include "engine/kernels/cpu/lanes-inl.h"

#if defined(PKV_KERNELS_CPU_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_DOTS_INL_H_
#undef PKV_KERNELS_CPU_DOTS_INL_H_
#else
#define PKV_KERNELS_CPU_DOTS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {

using Word = std::int16_t;

#if HWY_TARGET == HWY_SCALAR

constexpr Int kWords = 1;
using VecWords = Word;
using Sum = Int;
HWY_INLINE VecWords load_words(const Word* p) { return *p; }
HWY_INLINE VecWords widen_words(const std::int8_t* p) { return *p; }
HWY_INLINE void store_words(VecWords w, Word* p) { *p = w; }
HWY_INLINE Sum no_sum() { return 0; }
HWY_INLINE Sum in_order(Sum sum) { return sum; }
template <bool>
HWY_INLINE Sum dot(Sum sum, VecWords a, VecWords b) {
  return sum + Int{a} * b;
}
HWY_INLINE Vec to_floats(Sum sum) { return hn::Set(Floats(), static_cast<float>(sum)); }
HWY_INLINE Int total(Sum sum) { return sum; }

#else

using Words = hn::Repartition<Word, Floats>;
using VecWords = hn::Vec<Words>;
using Integers = hn::RebindToSigned<Floats>;
using VecInts = hn::Vec<Integers>;
constexpr Int kWords = hn::MaxLanes(Words());
HWY_INLINE VecWords load_words(const Word* p) { return hn::Load(Words(), p); }
HWY_INLINE void store_words(VecWords w, Word* p) { hn::Store(w, Words(), p); }
HWY_INLINE VecWords widen_words(const std::int8_t* p) {
  return hn::PromoteTo(Words(), hn::LoadU(hn::Rebind<std::int8_t, Words>(), p));
}

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2

using Sum = VecInts;
HWY_INLINE Sum no_sum() { return hn::Zero(Integers()); }
HWY_INLINE VecInts ints_of(Sum sum) { return sum; }

// sum + a * b, neighbouring products added. kVnni: by one instruction, where the processor has it (Highway has no name
// for it).
template <bool kVnni>
HWY_INLINE Sum dot(Sum sum, VecWords a, VecWords b) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kVnni) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  } else {
    return hn::Add(sum, VecInts{_mm512_madd_epi16(a.raw, b.raw)});
  }
#else
  return hn::Add(sum, VecInts{_mm256_madd_epi16(a.raw, b.raw)});
#endif
}

// Keeps the compiler from collecting products in order to add them as a tree, for which there are not enough registers.
HWY_INLINE Sum in_order(Sum sum) {
  asm("" : "+v"(sum.raw));
  return sum;
}

#else

struct Sum {
  HWY_ATTR Sum() {}  // not the implicit one, which some compilers build for another instruction set
  HWY_ATTR Sum(VecInts e, VecInts o) : even(e), odd(o) {}
  VecInts even, odd;
};
HWY_INLINE Sum in_order(Sum sum) { return sum; }
HWY_INLINE Sum no_sum() { return {hn::Zero(Integers()), hn::Zero(Integers())}; }
HWY_INLINE VecInts ints_of(Sum sum) { return hn::Add(sum.even, sum.odd); }
template <bool>
HWY_INLINE Sum dot(Sum sum, VecWords a, VecWords b) {
  sum.even = hn::ReorderWidenMulAccumulate(Integers(), a, b, sum.even, sum.odd);
  return sum;
}

#endif

HWY_INLINE Vec to_floats(Sum sum) { return hn::ConvertTo(Floats(), ints_of(sum)); }
HWY_INLINE Int total(Sum sum) { return hn::GetLane(hn::SumOfLanes(Integers(), ints_of(sum))); }

#endif

}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
