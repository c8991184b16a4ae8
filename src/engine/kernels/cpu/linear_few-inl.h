// linear for few rows: the weights come from memory once, and R rows of x use them on the way.
// Included once per instruction set, inside foreach_target.
#include <cstdint>

#include "engine/kernels/cpu/linear_tile-inl.h"

#if defined(PKV_KERNELS_CPU_LINEAR_FEW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_LINEAR_FEW_INL_H_
#undef PKV_KERNELS_CPU_LINEAR_FEW_INL_H_
#else
#define PKV_KERNELS_CPU_LINEAR_FEW_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

// Piece p's sums added to the ones before it.
HWY_INLINE void add_piece(Int p, float sum, float* to) { *to = p == 0 ? sum : *to + sum; }

// Side by side: O rows of weights at once.
template <int R, class W, int O = outs_at_once(R)>
HWY_NOINLINE void few_rows(const Linear& a, Int first, Int outs) {
  const Pieces pieces(a.x[1]);
  alignas(64) float sums[R][kFewStride];
  Operands<R, O, W> operands;
  for (int r = 0; r < R; ++r) operands.x[r] = row(a.x, r);
  for (Int o = 0; o < outs; o += O) {
    for (int i = 0; i < O; ++i) operands.w[i] = weight_row<W>(a, std::min(first + o + i, first + outs - 1));
    for (Int p = 0; p < pieces.count; ++p) {
      Sums<R, O> tile;
      clear_each<R, O>(tile, std::make_integer_sequence<int, R * O>());
      for (Int k = pieces.begin(p); k < pieces.end(p); k += kLanes) step<R, O, W>(operands, k, tile);
      if (pieces.ends_in(p)) last_step<R, O, W>(operands, pieces.whole, pieces.in - pieces.whole, tile);
      alignas(64) float flat[kFolded<R, O>];
      fold<R, O>(tile, flat);
      for (int r = 0; r < R; ++r) {
        for (int i = 0; i < O; ++i) add_piece(p, flat[r * O + i], &sums[r][o + i]);
      }
    }
  }
  for (int r = 0; r < R; ++r) finish(a, r, first, outs, sums[r]);
}

enum class Hint { none, once, second_cache };

// Piece p of S rows of weights with R rows of x. Lines of weights are fetched in the order of memory: `next` runs
// through them, ahead of their use.
template <Hint hint, int R, int S, class W>
HWY_INLINE void chain(const Operands<R, S, W>& operands, const Pieces& pieces, Int p, std::uintptr_t& next,
                      Sums<R, S>& sums) {
  constexpr Int kLine = std::max<Int>(kLanes, 64 / static_cast<Int>(sizeof(W))), kLines = 4 / S;
  const Int end = pieces.end(p);
  clear_each<R, S>(sums, std::make_integer_sequence<int, R * S>());
  Int k = pieces.begin(p);
  for (; k + kLines * kLine <= end; k += kLines * kLine) {
#pragma GCC unroll 8
    for (Int l = 0; l < kLines; ++l) {
      for (Int i = 0; i < S && hint != Hint::none; ++i) {
        fetch(next + static_cast<std::uintptr_t>((l * S + i) * 64), hint == Hint::once);
      }
#pragma GCC unroll 8
      for (Int j = 0; j < kLine; j += kLanes) step<R, S, W>(operands, k + l * kLine + j, sums);
    }
    next += kLines * S * 64;
  }
  for (; k < end; k += kLanes) step<R, S, W>(operands, k, sums);
  if (pieces.ends_in(p)) last_step<R, S, W>(operands, pieces.whole, pieces.in - pieces.whole, sums);
}

// S rows of weights after the other, from begin to end: memory gives most when it is read in order. A row's chain waits
// for itself, but the processor works on the next one meanwhile. Four rows are folded together.
template <Hint hint, int R, int S, class W>
HWY_NOINLINE void rows_in_order(const Linear& a, Int first, Int outs) {
  const Floats d;
  const Pieces pieces(a.x[1]);
  // Far enough ahead, and beyond the rows that are being read.
  const Int ahead = std::max(fetching_here().ahead, S == 1 ? 0 : S * pieces.in * static_cast<Int>(sizeof(W)));
  alignas(64) float sums[R][kFewStride];
  alignas(64) float waiting[kMostPieces][R][4][kLanes];
  Operands<R, S, W> operands;
  for (int r = 0; r < R; ++r) operands.x[r] = row(a.x, r);
  for (Int o = 0; o < outs; o += 4) {
    for (Int i = 0; i < 4; i += S) {
      for (Int s = 0; s < S; ++s) operands.w[s] = weight_row<W>(a, first + std::min(o + i + s, outs - 1));
      auto next = reinterpret_cast<std::uintptr_t>(operands.w[0]) + static_cast<std::uintptr_t>(ahead);
      for (Int p = 0; p < pieces.count; ++p) {
        Sums<R, S> tile;
        chain<hint, R, S, W>(operands, pieces, p, next, tile);
        for (int r = 0; r < R; ++r) {
          for (int s = 0; s < S; ++s) hn::Store(tile[r][s], d, waiting[p][r][i + s]);
        }
      }
    }
    for (Int p = 0; p < pieces.count; ++p) {
      for (int r = 0; r < R; ++r) {
        const auto& w = waiting[p][r];
        alignas(16) float folded[4];
        fold4(hn::Load(d, w[0]), hn::Load(d, w[1]), hn::Load(d, w[2]), hn::Load(d, w[3]), folded);
        for (int i = 0; i < 4; ++i) add_piece(p, folded[i], &sums[r][o + i]);
      }
    }
  }
  for (int r = 0; r < R; ++r) finish(a, r, first, outs, sums[r]);
}

// In order while the rows of x stay in the nearest cache beside the weights that pass through it. Short vectors of half
// precision bring few bytes for each wait of a chain, so two rows' chains go side by side (AVX2, 3072 inputs: 16 to 22
// GB/s with two threads of a Sapphire Rapids; 8192 inputs: 34 to 42 of a Zen 5). Long vectors of fp32 come faster eight
// rows side by side where the processor finds such streams itself: GPT-2 small makes 76 tokens/s in fp32 instead of 63
// (two threads of a Sapphire Rapids). In half precision it would lose by that, 66 instead of 92.
template <int R, class W>
void few_of(const Linear& a, Int first, Int outs) {
  const Fetching& fetching = fetching_here();
  if constexpr (R == 1 && sizeof(W) == 4 && kLanes == 16) {
    if (!fetching.once && !fetching.finds_rows) return few_rows<1, W, 8>(a, first, outs);
  }
  constexpr Int kNearFloats = 8192;
  if (R * a.x[1] > (R == 1 ? kMostPieces * kPiece : kNearFloats)) return few_rows<R, W>(a, first, outs);
  constexpr int kRows = R == 1 && sizeof(W) == 2 && kLanes <= 8 ? 2 : 1;
  if (fetching.once) return rows_in_order<Hint::once, R, kRows, W>(a, first, outs);
  if (kRows == 1 && fetching.finds_rows) return rows_in_order<Hint::none, R, kRows, W>(a, first, outs);
  rows_in_order<Hint::second_cache, R, kRows, W>(a, first, outs);
}

template <class W>
void few(const Linear& a, Int first, Int outs) {
  switch (a.x[0]) {
    case 1:
      return few_of<1, W>(a, first, outs);
    case 2:
      return few_of<2, W>(a, first, outs);
    case 3:
      return few_of<3, W>(a, first, outs);
    default:
      return few_of<4, W>(a, first, outs);
  }
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
