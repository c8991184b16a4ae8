// linear with quantised weights for many rows. As in linear_many-inl.h: a task is a block of rows and kTaskOuts
// outputs; it goes through K by pieces, a piece through panels of weights, unpacked once, a panel through tiles of
// rows. Included once per instruction set, inside foreach_target.
#include "engine/kernels/cpu/quantized_rows-inl.h"

#if defined(PKV_KERNELS_CPU_QUANTIZED_MANY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_QUANTIZED_MANY_INL_H_
#undef PKV_KERNELS_CPU_QUANTIZED_MANY_INL_H_
#else
#define PKV_KERNELS_CPU_QUANTIZED_MANY_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

// A tile of R rows and O outputs holds R * O integer sums in registers, O weights, an x and a product.
constexpr int kQRows = kRegisters == 32 ? 4 : 3, kQOuts = 3;
// Outputs whose unpacked weights stay in the nearest cache while all rows pass by, beside the rows of one tile.
constexpr int kPanelOuts = 3 * kQOuts;
constexpr Int kQTaskOuts = 144;
static_assert(kQTaskOuts % kPanelOuts == 0 && kQTaskOuts % 16 == 0);

struct QBlock {
  Int rows, o0, outs;
};

// 4 bits: a piece is one of K's pieces.
template <Int C, bool kVnni>
struct FourBitPanel {
  static constexpr Int kLength = kPiece;
  using Total = float;

  explicit FourBitPanel(const quant::Matrix& m) : matrix(m), unpack(table_of(m.format)) {}

  HWY_NOINLINE void widen(Int o, Int k0, Int k1) {
    for (int i = 0; i < kPanelOuts; ++i) {
      const FourBitRow w(matrix, std::min(o + i, matrix.out - 1));
      for (Int k = k0; k < k1; k += C) {
        Unpacked<C> unpacked;
        unpack.template operator()<C>(w.codes + k / 2, unpacked);
        for (Int j = 0; j < C / kWords; ++j) store_words(unpacked[j], words[i] + k - k0 + j * kWords);
        scales[i][(k - k0) / C] = w.scale(k);
      }
    }
  }

  // totals[i * kQOuts + o] (+)= the sums of R rows over the piece, for outputs first + o of the panel.
  template <int R>
  HWY_NOINLINE void tile(const XRow* x, int first, Int k0, Int k1, float* totals) const {
    const Floats d;
    Vec sums[R][kQOuts];
    clear_each<R, kQOuts>(sums, std::make_integer_sequence<int, R * kQOuts>());
    for (Int s = k0; s < k1; s += kSpan) {
      Vec part[R][kQOuts];
      clear_each<R, kQOuts>(part, std::make_integer_sequence<int, R * kQOuts>());
      for (Int k = s; k < std::min(s + kSpan, k1); k += C) chunk<R>(x, first, k, k - k0, part);
      for (int r = 0; r < R; ++r) {
        const Vec scale = hn::Set(d, x[r].scales[s / kSpan]);
        for (int o = 0; o < kQOuts; ++o) sums[r][o] = hn::MulAdd(part[r][o], scale, sums[r][o]);
      }
    }
    alignas(64) float flat[kFolded<R, kQOuts>];
    fold<R, kQOuts>(sums, flat);
    for (int i = 0; i < R * kQOuts; ++i) totals[i] = k0 == 0 ? flat[i] : totals[i] + flat[i];
  }

  template <int R>
  HWY_INLINE void chunk(const XRow* x, int first, Int k, Int at, Vec (&part)[R][kQOuts]) const {
    Sum sums[R][kQOuts];
    for (Int j = 0; j < C / kWords; ++j) {
      VecWords w[kQOuts];
      for (int o = 0; o < kQOuts; ++o) w[o] = load_words(words[first + o] + at + j * kWords);
      for (int r = 0; r < R; ++r) {
        const VecWords v = load_words(x[r].words() + k + j * kWords);
        for (int o = 0; o < kQOuts; ++o) sums[r][o] = in_order(dot<kVnni>(j == 0 ? no_sum() : sums[r][o], v, w[o]));
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int o = 0; o < kQOuts; ++o) {
        part[r][o] = hn::MulAdd(to_floats(sums[r][o]), hn::Set(Floats(), scales[first + o][at / C]), part[r][o]);
      }
    }
  }

  float value(Int, const XRow&, float total) const { return total; }

  const quant::Matrix& matrix;
  Unpacker unpack;
  alignas(64) Word words[kPanelOuts][kPiece + 32];
  float scales[kPanelOuts][kPiece / C];
};

// By constant indices: looked up by others, the sums would live in memory.
template <class S, int R, int... i>
HWY_INLINE void clear_sums(S (&sums)[R][kQOuts], std::integer_sequence<int, i...>) {
  ((sums[i / kQOuts][i % kQOuts] = no_sum()), ...);
}

#if HWY_TARGET != HWY_SCALAR

// ggml's blocks, by their unpacker: the same sums as those of few rows.
template <class F, bool kVnni>
struct BlockPanel {
  static constexpr Int kLength = kPiece;
  using Total = float;

  BlockPanel(const quant::Matrix& m, const F& unpacker)
      : matrix(m), f(unpacker), least(between_minima(m.format)), per_span(kSpan / m.traits().codes.weights) {}

  HWY_NOINLINE void widen(Int o, Int k0, Int k1) {
    const Int row_bytes = matrix.in / matrix.traits().codes.weights * f.bytes;
    for (int i = 0; i < kPanelOuts; ++i) {
      const auto* row = matrix.codes.as<const std::uint8_t>() + std::min(o + i, matrix.out - 1) * row_bytes;
      for (Int k = k0; k < k1; k += kSpan) {
        const std::uint8_t* p = row + k / kSpan * per_span * f.bytes;
        const Int n = std::min(kSpan, k1 - k);
        SpanScales& s = scales[i][(k - k0) / kSpan];
        f.scales(p, n / 32, s);
        Word* to = words[i] + k - k0;
        if constexpr (F::kSuperblocks) {
          put<0>(p, s, to), put<1>(p, s, to), put<2>(p, s, to), put<3>(p, s, to);
        } else {
          Int c = 0;
          for (; c + 64 <= n; c += 64) {
            Unpacked64 w;
            unpack_two(f, p + c / 32 * f.bytes, w);
            for (Int j = 0; j < 2 * kHalves; ++j) store_words(w[j], to + c + j * kWords);
          }
          if (c == n) continue;
          VecSigned first, second;
          VecWords w[kHalves];
          f.codes(p + c / 32 * f.bytes, first, second);
          words_in_order(first, second, w);
          for (Int j = 0; j < kHalves; ++j) store_words(w[j], to + c + j * kWords);
        }
      }
    }
  }
  template <int J>
  HWY_INLINE void put(const std::uint8_t* p, const SpanScales& s, Word* to) const {
    Unpacked64 w;
    f.template unpack<J>(p, s, w);
    for (Int j = 0; j < 2 * kHalves; ++j) store_words(w[j], to + 64 * J + j * kWords);
  }

  // totals[i * kQOuts + o] (+)= the sums of R rows over the piece, for outputs first + o of the panel.
  template <int R>
  HWY_NOINLINE void tile(const XRow* x, int first, Int k0, Int k1, float* totals) const {
    const Floats d;
    Vec sums[R][kQOuts];
    clear_each<R, kQOuts>(sums, std::make_integer_sequence<int, R * kQOuts>());
    for (Int k = k0; k < k1; k += kSpan) {
      Vec part[R][kQOuts];
      clear_each<R, kQOuts>(part, std::make_integer_sequence<int, R * kQOuts>());
      const Int span = (k - k0) / kSpan, at = k - k0, n = std::min(kSpan, k1 - k);
      if constexpr (F::kSuperblocks) {
        for (Int c = 0; c < kSpan; c += kSuper) chunk<R, kSuper>(x, first, k + c, at + c, span, 0, part);
      } else {
        constexpr Int kChunk = kPaired ? 64 : 32;
        Int c = 0;
        for (; c + kChunk <= n; c += kChunk) chunk<R, kChunk>(x, first, k + c, at + c, span, c / 32, part);
        if (kPaired && c < n) chunk<R, 32>(x, first, k + c, at + c, span, c / 32, part);
      }
      for (Int j = 0; least > 0 && j < kSpan / least; j += kLanes) {
        for (int r = 0; r < R; ++r) {
          const Vec of_x = hn::Load(d, x[r].sums + k / kSpan * 16 + j);
          for (int o = 0; o < kQOuts; ++o) {
            part[r][o] = hn::NegMulAdd(hn::Load(d, scales[first + o][span].least + j), of_x, part[r][o]);
          }
        }
      }
      for (int r = 0; r < R; ++r) {
        const Vec scale = hn::Set(d, x[r].scales[k / kSpan]);
        for (int o = 0; o < kQOuts; ++o) sums[r][o] = hn::MulAdd(part[r][o], scale, sums[r][o]);
      }
    }
    alignas(64) float flat[kFolded<R, kQOuts>];
    fold<R, kQOuts>(sums, flat);
    for (int i = 0; i < R * kQOuts; ++i) totals[i] = k0 == 0 ? flat[i] : totals[i] + flat[i];
  }

  // C elements that share scale j of their span; of 64 each half of the lanes has one.
  template <int R, Int C>
  HWY_INLINE void chunk(const XRow* x, int first, Int k, Int at, Int span, Int j, Vec (&part)[R][kQOuts]) const {
    Sum sums[R][kQOuts];
    clear_sums(sums, std::make_integer_sequence<int, R * kQOuts>());
#pragma GCC unroll 2
    for (Int i = 0; i < C; i += kWords) {
      VecWords w[kQOuts];
      for (int o = 0; o < kQOuts; ++o) w[o] = load_words(words[first + o] + at + i);
      for (int r = 0; r < R; ++r) {
        const VecWords v = load_words(x[r].words() + k + i);
        for (int o = 0; o < kQOuts; ++o) sums[r][o] = in_order(dot<kVnni>(sums[r][o], v, w[o]));
      }
    }
    Vec scale[kQOuts];
    for (int o = 0; o < kQOuts; ++o) {
      const float* of = scales[first + o][span].scale;
      scale[o] = C == 64 ? pair_of(of, j) : hn::Set(Floats(), of[j]);
    }
    for (int r = 0; r < R; ++r) {
      for (int o = 0; o < kQOuts; ++o) part[r][o] = hn::MulAdd(to_floats(sums[r][o]), scale[o], part[r][o]);
    }
  }

  float value(Int, const XRow&, float total) const { return total; }

  const quant::Matrix& matrix;
  F f;
  Int least, per_span;
  alignas(64) Word words[kPanelOuts][kPiece + 32];
  SpanScales scales[kPanelOuts][kPiece / kSpan];
};

#endif

template <int R, class S, int... i>
HWY_INLINE void add_totals(const S (&sums)[R][kQOuts], bool first, std::int32_t* totals,
                           std::integer_sequence<int, i...>) {
  ((totals[i] = static_cast<std::int32_t>(total(sums[i / kQOuts][i % kQOuts]) + (first ? 0 : totals[i]))), ...);
}

// int8, multiplied as words.
struct Int8Panel {
  static constexpr Int kLength = 1024;
  using Total = std::int32_t;

  explicit Int8Panel(const quant::Matrix& m) : matrix(m) {}

  HWY_NOINLINE void widen(Int o, Int k0, Int k1) {
    for (int i = 0; i < kPanelOuts; ++i) {
      const auto* w = matrix.codes.as<const std::int8_t>() + std::min(o + i, matrix.out - 1) * matrix.in + k0;
      Int k = 0;
      for (; k + kWords <= k1 - k0; k += kWords) store_words(widen_words(w + k), words[i] + k);
      for (; k < ceil_div(k1 - k0, 32) * 32; ++k) words[i][k] = k < k1 - k0 ? w[k] : Word{0};
    }
  }

  template <int R>
  HWY_NOINLINE void tile(const XRow* x, int first, Int k0, Int k1, std::int32_t* totals) const {
    Sum sums[R][kQOuts];
    clear_sums(sums, std::make_integer_sequence<int, R * kQOuts>());
    const Int length = ceil_div(k1 - k0, 32) * 32;
#pragma GCC unroll 4
    for (Int k = 0; k < length; k += kWords) {
      VecWords w[kQOuts];
      for (int o = 0; o < kQOuts; ++o) w[o] = load_words(words[first + o] + k);
      for (int r = 0; r < R; ++r) {
        const VecWords v = load_words(x[r].words() + k0 + k);
        for (int o = 0; o < kQOuts; ++o) sums[r][o] = dot<false>(sums[r][o], v, w[o]);
      }
    }
    add_totals<R>(sums, k0 == 0, totals, std::make_integer_sequence<int, R * kQOuts>());
  }

  float value(Int o, const XRow& x, std::int32_t sum) const { return value_of(matrix, o, x, sum); }

  const quant::Matrix& matrix;
  alignas(64) Word words[kPanelOuts][kLength + 32];
};

#if HWY_TARGET == HWY_AVX3

// int8, multiplied as bytes.
struct BytePanel {
  static constexpr Int kLength = 2048;
  using Total = std::int32_t;

  explicit BytePanel(const quant::Matrix& m) : matrix(m) {}

  HWY_NOINLINE void widen(Int o, Int k0, Int k1) {
    for (int i = 0; i < kPanelOuts; ++i) {
      const auto* w = matrix.codes.as<const std::int8_t>() + std::min(o + i, matrix.out - 1) * matrix.in + k0;
      for (Int k = 0; k < k1 - k0; k += 64) {
        const Int left = k1 - k0 - k;
        _mm512_store_si512(bytes[i] + k, lifted(left < 64 ? load_first_bytes(left, w + k) : load_bytes(w + k)));
      }
    }
  }

  template <int R>
  HWY_NOINLINE void tile(const XRow* x, int first, Int k0, Int k1, std::int32_t* totals) const {
    VecInts sums[R][kQOuts];
    clear_sums(sums, std::make_integer_sequence<int, R * kQOuts>());
#pragma GCC unroll 4
    for (Int k = 0; k < k1 - k0; k += 64) {
      __m512i w[kQOuts];
      for (int o = 0; o < kQOuts; ++o) w[o] = _mm512_load_si512(bytes[first + o] + k);
      for (int r = 0; r < R; ++r) {
        const __m512i v = load_bytes(x[r].bytes() + k0 + k);
        for (int o = 0; o < kQOuts; ++o) sums[r][o] = dot_bytes(sums[r][o], w[o], v);
      }
    }
    add_totals<R>(sums, k0 == 0, totals, std::make_integer_sequence<int, R * kQOuts>());
    if (k0 > 0) return;
    for (int i = 0; i < R * kQOuts; ++i) totals[i] -= static_cast<std::int32_t>(kOffset) * x[i / kQOuts].int8.sum;
  }

  float value(Int o, const XRow& x, std::int32_t sum) const { return value_of(matrix, o, x, sum); }

  const quant::Matrix& matrix;
  alignas(64) std::uint8_t bytes[kPanelOuts][kLength + 64];
};

#endif

template <class Panel>
void tile_of(const Panel& panel, Int rows, const XRow* x, int first, Int k0, Int k1, typename Panel::Total* totals) {
  switch (rows) {
    case 1:
      return panel.template tile<1>(x, first, k0, k1, totals);
    case 2:
      return panel.template tile<2>(x, first, k0, k1, totals);
    case 3:
      return panel.template tile<3>(x, first, k0, k1, totals);
    default:
      return panel.template tile<kQRows>(x, first, k0, k1, totals);
  }
}

// Fetches part `part` of `parts` of elements [k0, k1) of the panel at `o` into the second cache, while another one is
// multiplied.
void fetch_panel(const quant::Matrix& m, Int o, Int k0, Int k1, Int part, Int parts) {
  constexpr Int kLine = 64;
  const quant::BlockLayout layout = m.traits().codes;
  const Int first = o + kPanelOuts * part / parts, last = std::min(o + kPanelOuts * (part + 1) / parts, m.out);
  for (Int i = first; i < last; ++i) {
    const auto* codes = m.codes.as<const std::uint8_t>() + (i * m.in + k0) / layout.weights * layout.bytes;
    for (Int b = 0; b < (k1 - k0) / layout.weights * layout.bytes; b += kLine) __builtin_prefetch(codes + b, 0, 2);
  }
}

template <class Panel, class... Unpacker>
HWY_NOINLINE void many_rows(const Linear& a, const XRow* x, const QBlock& b, const Unpacker&... unpacker) {
  Panel panel(a.quantized, unpacker...);
  constexpr Int kTiles = ceil_div(QuantizedRows::kRows, kQRows);
  typename Panel::Total totals[kQTaskOuts / kQOuts][kTiles][kQRows * kQOuts];
  for (Int k0 = 0; k0 < a.quantized.in; k0 += Panel::kLength) {
    const Int k1 = std::min(k0 + Panel::kLength, a.quantized.in);
    for (Int o = 0; o < b.outs; o += kPanelOuts) {
      panel.widen(b.o0 + o, k0, k1);
      // The next panel: of this piece, of the next one, or of the next task.
      const bool ends = o + kPanelOuts >= b.outs, turns = ends && k1 < a.quantized.in;
      const Int next = turns ? b.o0 : b.o0 + o + kPanelOuts, from = turns ? k1 : ends ? 0 : k0;
      const Int to = std::min(from + Panel::kLength, a.quantized.in);
      for (Int r = 0; r < b.rows; r += kQRows) {
        fetch_panel(a.quantized, next, from, to, r / kQRows, ceil_div(b.rows, kQRows));
        for (int i = 0; i < kPanelOuts; i += kQOuts) {
          tile_of(panel, std::min<Int>(kQRows, b.rows - r), x + r, i, k0, k1, totals[(o + i) / kQOuts][r / kQRows]);
        }
      }
    }
  }
  alignas(64) float sums[kQTaskOuts + kLanes];
  for (Int r = 0; r < b.rows; ++r) {
    for (Int o = 0; o < b.outs; ++o) {
      sums[o] = panel.value(b.o0 + o, x[r], totals[o / kQOuts][r / kQRows][r % kQRows * kQOuts + o % kQOuts]);
    }
    finish(a, r, b.o0, b.outs, sums);
  }
}

template <bool kVnni>
void many(const Linear& a, const XRow* x, const QBlock& b) {
#if HWY_TARGET != HWY_SCALAR
  const bool done = with_unpacker(a.quantized.format, [&](const auto& f) HWY_ATTR {
    many_rows<BlockPanel<std::decay_t<decltype(f)>, kVnni>>(a, x, b, f);
  });
  if (done) return;
#endif
  const bool whole = codes_at_once(a.quantized) == 64;
  if (a.quantized.traits().product == quant::Product::of_values) {
    if (whole) return many_rows<FourBitPanel<kMostCodes, kVnni>>(a, x, b);
    return many_rows<FourBitPanel<32, kVnni>>(a, x, b);
  }
#if HWY_TARGET == HWY_AVX3
  if constexpr (kVnni) return many_rows<BytePanel>(a, x, b);
#endif
  many_rows<Int8Panel>(a, x, b);
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
