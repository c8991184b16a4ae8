// linear with quantised weights for few rows: the weights come from memory once and in order, each row of them is
// unpacked on the way and meets R rows of x. Included once per instruction set, inside foreach_target.
#include "kernels/cpu/quantized_rows-inl.h"

#if defined(PKV_KERNELS_CPU_QUANTIZED_FEW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_QUANTIZED_FEW_INL_H_
#undef PKV_KERNELS_CPU_QUANTIZED_FEW_INL_H_
#else
#define PKV_KERNELS_CPU_QUANTIZED_FEW_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr Int kFewOuts = 48;  // outputs of one task: a multiple of kLanes and of 4
constexpr Int kFewRows = 4;
constexpr std::uintptr_t kAhead = 4096;  // bytes between a fetch and its use

HWY_INLINE void fetch_line(const void* p) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) + kAhead), 0, 2);
}

// Elements [k, k + n) of R rows with a row of weights: one span's sums, times its scale, added to `sums`.
template <int R, Int C, bool kVnni>
HWY_INLINE void span_of(const XRow (&x)[R], const FourBitRow& w, const Unpacker& unpack, Int k, Int n, Vec (&sums)[R]) {
  const Floats d;
  Vec part[R];
  for (int r = 0; r < R; ++r) part[r] = hn::Zero(d);
  for (Int c = k; c < k + n; c += C) {
    if (c % 128 == 0) fetch_line(w.codes + c / 2);
    Unpacked<C> words;
    unpack.template operator()<C>(w.codes + c / 2, words);
    const Vec scale = hn::Set(d, w.scale(c));
    for (int r = 0; r < R; ++r) {
      Sum sum = no_sum();
      for (Int i = 0; i < C / kWords; ++i) sum = dot<kVnni>(sum, load_words(x[r].words() + c + i * kWords), words[i]);
      part[r] = hn::MulAdd(to_floats(sum), scale, part[r]);
    }
  }
  for (int r = 0; r < R; ++r) sums[r] = hn::MulAdd(part[r], hn::Set(d, x[r].scales[k / kSpan]), sums[r]);
}

template <int R, Int C, bool kVnni>
HWY_NOINLINE void few_four_bits(const Linear& a, const XRow (&x)[R], Int first, Int outs) {
  const Unpacker unpack(table_of(a.quantized.format));
  alignas(64) float sums[R][kFewOuts + kLanes];
  for (Int o = 0; o < outs; ++o) {
    const FourBitRow w(a.quantized, first + o);
    for (Int p = 0; p < a.quantized.in; p += kPiece) {
      const Int end = std::min(p + kPiece, a.quantized.in);
      Vec tile[R];
      for (int r = 0; r < R; ++r) tile[r] = hn::Zero(Floats());
      for (Int k = p; k < end; k += kSpan) span_of<R, C, kVnni>(x, w, unpack, k, std::min(kSpan, end - k), tile);
      for (int r = 0; r < R; ++r) {
        alignas(16) float folded[4];
        fold4(tile[r], tile[r], tile[r], tile[r], folded);
        sums[r][o] = p == 0 ? folded[0] : sums[r][o] + folded[0];
      }
    }
  }
  for (int r = 0; r < R; ++r) finish(a, r, first, outs, sums[r]);
}

// The sum of a row of codes with R rows of x.
template <int R, bool kVnni>
HWY_INLINE void dots_of(const XRow (&x)[R], const std::int8_t* w, Int in, Int (&totals)[R]) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kVnni) return byte_dots_of<R>(x, w, in, totals);
#endif
  constexpr int kSums = R == 1 ? 2 : 1;
  Sum sums[R][kSums];
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < kSums; ++s) sums[r][s] = no_sum();
  }
  Int k = 0;
  for (; k + kSums * kWords <= in; k += kSums * kWords) {
    if (k % 64 == 0) fetch_line(w + k);
    for (int s = 0; s < kSums; ++s) {
      const VecWords words = widen_words(w + k + s * kWords);
      for (int r = 0; r < R; ++r) sums[r][s] = dot<false>(sums[r][s], load_words(x[r].words() + k + s * kWords), words);
    }
  }
  for (int r = 0; r < R; ++r) {
    totals[r] = 0;
    for (int s = 0; s < kSums; ++s) totals[r] += total(sums[r][s]);
    for (Int i = k; i < in; ++i) totals[r] += Int{x[r].words()[i]} * w[i];
  }
}

template <int R, bool kVnni>
HWY_NOINLINE void few_int8(const Linear& a, const XRow (&x)[R], Int first, Int outs) {
  const quant::Matrix& m = a.quantized;
  alignas(64) float sums[R][kFewOuts + kLanes];
  for (Int o = 0; o < outs; ++o) {
    const auto* w = m.codes.as<const std::int8_t>() + (first + o) * m.in;
    Int totals[R];
    dots_of<R, kVnni>(x, w, m.in, totals);
    for (int r = 0; r < R; ++r) sums[r][o] = value_of(m, first + o, x[r], totals[r]);
  }
  for (int r = 0; r < R; ++r) finish(a, r, first, outs, sums[r]);
}

template <int R, bool kVnni>
void few_of(const Linear& a, const XRow* rows, Int first, Int outs) {
  XRow x[R];
  std::copy(rows, rows + R, x);
  if (a.quantized.format == quant::Format::int8) return few_int8<R, kVnni>(a, x, first, outs);
  if (codes_at_once(a.quantized) == 64) return few_four_bits<R, kMostCodes, kVnni>(a, x, first, outs);
  few_four_bits<R, 32, kVnni>(a, x, first, outs);
}

template <bool kVnni>
void few(const Linear& a, const XRow* x, Int first, Int outs) {
  switch (a.x[0]) {
    case 1:
      return few_of<1, kVnni>(a, x, first, outs);
    case 2:
      return few_of<2, kVnni>(a, x, first, outs);
    case 3:
      return few_of<3, kVnni>(a, x, first, outs);
    default:
      return few_of<4, kVnni>(a, x, first, outs);
  }
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
