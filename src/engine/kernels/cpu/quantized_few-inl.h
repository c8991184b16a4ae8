// linear with quantised weights for few rows: the weights come from memory once and in order, each row of them is
// unpacked on the way and meets R rows of x. Included once per instruction set, inside foreach_target.
#include "engine/kernels/cpu/quantized_rows-inl.h"

#if defined(PKV_KERNELS_CPU_QUANTIZED_FEW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_QUANTIZED_FEW_INL_H_
#undef PKV_KERNELS_CPU_QUANTIZED_FEW_INL_H_
#else
#define PKV_KERNELS_CPU_QUANTIZED_FEW_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

// The line that is as far ahead of p as is asked for.
HWY_INLINE void fetch_ahead(const Fetching& fetching, const void* p) {
  fetch(reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(fetching.ahead), fetching.once);
}

// Weights whose values are multiplied: how a row of them is walked, and how a span meets rows of x. 4 bits:
//
// Chunk of C elements from k on: R rows of x with S rows of weights.
template <int R, int S, Int C, bool kVnni>
HWY_INLINE void chunk_of(const XRow (&x)[R], const FourBitRow (&w)[S], const Unpacker& unpack, Int k,
                         Vec (&part)[R][S]) {
  for (int s = 0; s < S; ++s) {
    Unpacked<C> words;
    unpack.template operator()<C>(w[s].codes + k / 2, words);
    const Vec scale = hn::Set(Floats(), w[s].scale(k));
    for (int r = 0; r < R; ++r) {
      Sum sum = no_sum();
      for (Int i = 0; i < C / kWords; ++i) sum = dot<kVnni>(sum, load_words(x[r].words() + k + i * kWords), words[i]);
      part[r][s] = hn::MulAdd(to_floats(sum), scale, part[r][s]);
    }
  }
}

// Elements [k, k + n) of a span: its sums, times the scale of its activations, are added to `sums`.
template <int R, int S, Int C, bool kVnni>
HWY_INLINE void span_of(const XRow (&x)[R], const FourBitRow (&w)[S], const Unpacker& unpack, const Fetching& fetching,
                        Int k, Int n, Vec (&sums)[R][S]) {
  Vec part[R][S];
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < S; ++s) part[r][s] = hn::Zero(Floats());
  }
  if (n == kSpan) {
#pragma GCC unroll 8
    for (Int c = 0; c < kSpan; c += C) {
      if (c % 128 == 0) {
        for (int s = 0; s < S; ++s) fetch_ahead(fetching, w[s].codes + (k + c) / 2);
      }
      chunk_of<R, S, C, kVnni>(x, w, unpack, k + c, part);
    }
  } else {
    for (Int c = 0; c < n; c += C) chunk_of<R, S, C, kVnni>(x, w, unpack, k + c, part);
  }
  for (int r = 0; r < R; ++r) {
    const Vec scale = hn::Set(Floats(), x[r].scales[k / kSpan]);
    for (int s = 0; s < S; ++s) sums[r][s] = hn::MulAdd(part[r][s], scale, sums[r][s]);
  }
}

template <Int C, bool kVnni>
struct FewFourBits {
  using Row = FourBitRow;
  explicit FewFourBits(const quant::Matrix& m) : matrix(m), unpack(table_of(m.format)) {}
  Row row(Int o) const { return FourBitRow(matrix, o); }
  Int row_bytes() const { return matrix.in / 2; }
  template <int R, int S>
  HWY_INLINE void span(const XRow (&x)[R], const Row (&w)[S], const Fetching& fetching, Int k, Int n,
                       Vec (&sums)[R][S]) const {
    span_of<R, S, C, kVnni>(x, w, unpack, fetching, k, n, sums);
  }
  const quant::Matrix& matrix;
  Unpacker unpack;
};

#if HWY_TARGET != HWY_SCALAR

// ggml's blocks, by their unpacker. Elements [64 J, 64 J + 64) of a superblock.
template <int J, int R, int S, class F, bool kVnni>
HWY_INLINE void superblock_part(const XRow (&x)[R], const F& f, const std::uint8_t* const (&p)[S],
                                const SpanScales (&scales)[S], Int k, Sum (&sums)[R][S]) {
  for (int s = 0; s < S; ++s) {
    Unpacked64 w;
    f.template unpack<J>(p[s], scales[s], w);
    for (int r = 0; r < R; ++r) {
      for (Int i = 0; i < 2 * kHalves; ++i) {
        sums[r][s] = dot<kVnni>(sums[r][s], load_words(x[r].words() + k + 64 * J + i * kWords), w[i]);
      }
    }
  }
}

template <int R, int S>
HWY_INLINE void end_superblock(const SpanScales (&scales)[S], Sum (&sums)[R][S], Vec (&part)[R][S]) {
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < S; ++s) {
      part[r][s] = hn::MulAdd(to_floats(sums[r][s]), hn::Set(Floats(), scales[s].scale[0]), part[r][s]);
      sums[r][s] = no_sum();
    }
  }
}

template <class F, bool kVnni>
struct FewBlocks {
  using Row = const std::uint8_t*;
  FewBlocks(const quant::Matrix& m, const F& unpacker)
      : matrix(m), f(unpacker), least(between_minima(m.format)), per_span(kSpan / m.traits().codes.weights) {}
  Row row(Int o) const { return matrix.codes.as<const std::uint8_t>() + o * row_bytes(); }
  Int row_bytes() const { return matrix.in / matrix.traits().codes.weights * f.bytes; }

  template <int R, int S>
  HWY_INLINE void span(const XRow (&x)[R], const Row (&w)[S], const Fetching& fetching, Int k, Int n,
                       Vec (&sums)[R][S]) const {
    SpanScales scales[S];
    const std::uint8_t* p[S];
    Vec part[R][S];
    for (int s = 0; s < S; ++s) {
      p[s] = w[s] + k / kSpan * per_span * f.bytes;
      for (Int b = 0; b < per_span * f.bytes; b += 64) fetch_ahead(fetching, p[s] + b);
      f.scales(p[s], n / 32, scales[s]);
      for (int r = 0; r < R; ++r) part[r][s] = hn::Zero(Floats());
    }
    if constexpr (F::kSuperblocks) {
      Sum whole[R][S];
      for (int r = 0; r < R; ++r) {
        for (int s = 0; s < S; ++s) whole[r][s] = no_sum();
      }
      superblock_part<0, R, S, F, kVnni>(x, f, p, scales, k, whole);
      superblock_part<1, R, S, F, kVnni>(x, f, p, scales, k, whole);
      if constexpr (kSuper == 128) end_superblock<R, S>(scales, whole, part);
      superblock_part<2, R, S, F, kVnni>(x, f, p, scales, k, whole);
      superblock_part<3, R, S, F, kVnni>(x, f, p, scales, k, whole);
      end_superblock<R, S>(scales, whole, part);
    } else {
      Int c = 0;
      for (; c + 64 <= n; c += 64) {
        for (int s = 0; s < S; ++s)
          two_blocks<R, S>(x, p[s] + c / 32 * f.bytes, scales[s].scale, c / 32, k + c, s, part);
      }
      for (int s = 0; c < n && s < S; ++s)
        last_block<R, S>(x, p[s] + c / 32 * f.bytes, scales[s].scale[c / 32], k + c, s, part);
    }
    if (least > 0) {
      for (Int j = 0; j < kSpan / least; j += kLanes) {
        for (int r = 0; r < R; ++r) {
          const Vec of_x = hn::Load(Floats(), x[r].sums + k / kSpan * 16 + j);
          for (int s = 0; s < S; ++s) {
            part[r][s] = hn::NegMulAdd(hn::Load(Floats(), scales[s].least + j), of_x, part[r][s]);
          }
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      const Vec scale = hn::Set(Floats(), x[r].scales[k / kSpan]);
      for (int s = 0; s < S; ++s) sums[r][s] = hn::MulAdd(part[r][s], scale, sums[r][s]);
    }
  }

  template <int R, int S>
  HWY_INLINE void two_blocks(const XRow (&x)[R], const std::uint8_t* p, const float* scale, Int j, Int k, int s,
                             Vec (&part)[R][S]) const {
    Unpacked64 w;
    unpack_two(f, p, w);
    for (int r = 0; r < R; ++r) {
      Sum sum = no_sum();
      for (Int i = 0; i < 2 * kHalves; ++i) {
        sum = dot<kVnni>(sum, load_words(x[r].words() + k + i * kWords), w[i]);
        if (kPaired || i % kHalves != kHalves - 1) continue;
        part[r][s] = hn::MulAdd(to_floats(sum), hn::Set(Floats(), scale[j + i / kHalves]), part[r][s]);
        sum = no_sum();
      }
      if constexpr (kPaired) part[r][s] = hn::MulAdd(to_floats(sum), pair_of(scale, j), part[r][s]);
    }
  }
  template <int R, int S>
  HWY_INLINE void last_block(const XRow (&x)[R], const std::uint8_t* p, float scale, Int k, int s,
                             Vec (&part)[R][S]) const {
    VecSigned first, second;
    VecWords w[kHalves];
    f.codes(p, first, second);
    words_in_order(first, second, w);
    for (int r = 0; r < R; ++r) {
      Sum sum = no_sum();
      for (Int i = 0; i < kHalves; ++i) sum = dot<kVnni>(sum, load_words(x[r].words() + k + i * kWords), w[i]);
      part[r][s] = hn::MulAdd(to_floats(sum), hn::Set(Floats(), scale), part[r][s]);
    }
  }

  const quant::Matrix& matrix;
  F f;
  Int least, per_span;
};

#endif

// S outputs side by side; four are folded together, after a stretch of pieces that lies together in memory.
template <int R, int S, class Kind>
HWY_NOINLINE void few_values(const Linear& a, const Kind& kind, const XRow (&x)[R], Int first, Int outs) {
  const quant::Matrix& m = a.quantized;
  Fetching fetching = fetching_here();
  // Beyond the rows that are being read.
  fetching.ahead = std::max(fetching.ahead, S == 1 ? 0 : S * kind.row_bytes());
  const Floats d;
  alignas(64) float sums[R][kFewStride];
  alignas(64) float waiting[kMostPieces][R][4][kLanes];
  const Int pieces = ceil_div(m.in, kPiece);
  for (Int o = 0; o < outs; o += 4) {
    for (Int p0 = 0; p0 < pieces; p0 += kMostPieces) {
      const Int p1 = std::min(p0 + kMostPieces, pieces);
      for (Int i = 0; i < 4; i += S) {
        typename Kind::Row w[S];
        for (int s = 0; s < S; ++s) w[s] = kind.row(first + std::min(o + i + s, outs - 1));
        for (Int p = p0; p < p1; ++p) {
          Vec tile[R][S];
          for (int r = 0; r < R; ++r) {
            for (int s = 0; s < S; ++s) tile[r][s] = hn::Zero(d);
          }
          const Int end = std::min((p + 1) * kPiece, m.in);
          for (Int k = p * kPiece; k < end; k += kSpan) {
            kind.template span<R, S>(x, w, fetching, k, std::min(kSpan, end - k), tile);
          }
          for (int r = 0; r < R; ++r) {
            for (int s = 0; s < S; ++s) hn::Store(tile[r][s], d, waiting[p - p0][r][i + s]);
          }
        }
      }
      for (Int p = p0; p < p1; ++p) {
        for (int r = 0; r < R; ++r) {
          const auto& w = waiting[p - p0][r];
          alignas(16) float folded[4];
          fold4(hn::Load(d, w[0]), hn::Load(d, w[1]), hn::Load(d, w[2]), hn::Load(d, w[3]), folded);
          for (int i = 0; i < 4; ++i) sums[r][o + i] = p == 0 ? folded[i] : sums[r][o + i] + folded[i];
        }
      }
    }
  }
  for (int r = 0; r < R; ++r) finish(a, r, first, outs, sums[r]);
}

#if HWY_TARGET == HWY_AVX3

template <int R>
HWY_INLINE void byte_dots_of(const XRow (&x)[R], const std::int8_t* w, Int in, const Fetching& fetching,
                             Int (&totals)[R]) {
  constexpr int kSums = R == 1 ? 4 : R == 2 ? 2 : 1;
  VecInts sums[R][kSums];
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < kSums; ++s) sums[r][s] = no_sum();
  }
  Int k = 0;
  for (; k + kSums * 64 <= in; k += kSums * 64) {
    for (int s = 0; s < kSums; ++s) {
      const auto* at = w + k + s * 64;
      fetch_ahead(fetching, at);
      const __m512i bytes = lifted(load_bytes(at));
      for (int r = 0; r < R; ++r) sums[r][s] = dot_bytes(sums[r][s], bytes, load_bytes(x[r].bytes() + k + s * 64));
    }
  }
  for (; k < in; k += 64) {
    const __m512i bytes = lifted(in - k < 64 ? load_first_bytes(in - k, w + k) : load_bytes(w + k));
    for (int r = 0; r < R; ++r) sums[r][0] = dot_bytes(sums[r][0], bytes, load_bytes(x[r].bytes() + k));
  }
  for (int r = 0; r < R; ++r) {
    totals[r] = -kOffset * x[r].int8.sum;
    for (int s = 0; s < kSums; ++s) totals[r] += total(sums[r][s]);
  }
}

#endif

// The sum of a row of codes with R rows of x.
template <int R, bool kVnni>
HWY_INLINE void dots_of(const XRow (&x)[R], const std::int8_t* w, Int in, const Fetching& fetching, Int (&totals)[R]) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kVnni) return byte_dots_of<R>(x, w, in, fetching, totals);
#endif
  constexpr int kSums = R == 1 ? 2 : 1;
  Sum sums[R][kSums];
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < kSums; ++s) sums[r][s] = no_sum();
  }
  Int k = 0;
  for (; k + kSums * kWords <= in; k += kSums * kWords) {
    if (k % 64 == 0) fetch_ahead(fetching, w + k);
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
  const Fetching& fetching = fetching_here();
  alignas(64) float sums[R][kFewStride];
  for (Int o = 0; o < outs; ++o) {
    const auto* w = m.codes.as<const std::int8_t>() + (first + o) * m.in;
    Int totals[R];
    dots_of<R, kVnni>(x, w, m.in, fetching, totals);
    for (int r = 0; r < R; ++r) sums[r][o] = value_of(m, first + o, x[r], totals[r]);
  }
  for (int r = 0; r < R; ++r) finish(a, r, first, outs, sums[r]);
}

template <int R, bool kVnni>
void few_of(const Linear& a, const XRow* rows, Int first, Int outs) {
  // Short sums wait for each other; four outputs' side by side do not (AVX-512, one thread: 16 to 38 GB/s).
  constexpr int kBeside = R == 1 ? 4 : R == 2 && kRegisters == 32 ? 2 : 1;
  XRow x[R];
  std::copy(rows, rows + R, x);
  if (a.quantized.traits().product == quant::Product::of_codes) return few_int8<R, kVnni>(a, x, first, outs);
#if HWY_TARGET != HWY_SCALAR
  const bool done = with_unpacker(a.quantized.format, [&](const auto& f) HWY_ATTR {
    const FewBlocks<std::decay_t<decltype(f)>, kVnni> kind(a.quantized, f);
    few_values<R, kBeside>(a, kind, x, first, outs);
  });
  if (done) return;
#endif
  if (codes_at_once(a.quantized) == 64) {
    return few_values<R, kBeside>(a, FewFourBits<kMostCodes, kVnni>(a.quantized), x, first, outs);
  }
  few_values<R, kBeside>(a, FewFourBits<32, kVnni>(a.quantized), x, first, outs);
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
