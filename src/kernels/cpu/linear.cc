// out = add + act(clip(x . weight^T + bias)).
//
// Row law: an output's sum is one chain. Its accumulator is one vector; step i multiplies elements [i*lanes,
// (i+1)*lanes) of the two rows into it, the last step padded with zeros; then the lanes are folded by `fold4`. Every
// path below, one row or many, fused or blocked along K (where whole accumulators are put down and taken up again),
// performs just these operations for each output. Threads share out outputs and rows, never K.
#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/table.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

// A tile of R rows and O outputs holds R*O accumulators in registers. The shapes leave room for O weights and one x.
constexpr int kTileRows = 4;
constexpr int kTileOuts = kRegisters == 32 ? 6 : 3;
constexpr int outs_at_once(int rows) {
  return rows == 1 ? 4 : rows == 2 ? (kRegisters == 32 ? 8 : 4) : rows == 3 ? (kRegisters == 32 ? 6 : 3) : kTileOuts;
}

// The rows of x and of the weights that a tile multiplies. At an edge the last one is repeated, and its sums are
// dropped.
template <int R, int O, class W>
struct Operands {
  const float* x[R];
  const W* w[O];
};

template <int R, int O>
using Sums = Vec[R][O];

template <int R, int O, class W>
HWY_INLINE void step(const Operands<R, O, W>& a, Int k, Sums<R, O>& sums) {
  const Floats d;
  Vec w[O];
  for (int o = 0; o < O; ++o) w[o] = widen(d, a.w[o] + k);
  for (int r = 0; r < R; ++r) {
    const Vec x = hn::LoadU(d, a.x[r] + k);
    for (int o = 0; o < O; ++o) sums[r][o] = hn::MulAdd(x, w[o], sums[r][o]);
  }
}

// The last, partial step: `count` elements from `k` on.
template <int R, int O, class W>
HWY_INLINE void last_step(const Operands<R, O, W>& a, Int k, Int count, Sums<R, O>& sums) {
  for (int o = 0; o < O; ++o) {
    const Vec w = widen_first(count, a.w[o] + k);
    for (int r = 0; r < R; ++r) sums[r][o] = hn::MulAdd(widen_first(count, a.x[r] + k), w, sums[r][o]);
  }
}

// Sum `i` of a tile, counted row by row; zeros beyond the last. The index is a constant, or the compiler would put the
// whole tile into memory to look it up.
template <int i, int R, int O>
HWY_INLINE Vec sum_at(const Sums<R, O>& sums) {
  if constexpr (i < R * O) {
    return sums[i / O][i % O];
  } else {
    return hn::Zero(Floats());
  }
}

template <int R, int O, int... i>
HWY_INLINE void fold_fours(const Sums<R, O>& sums, float* flat, std::integer_sequence<int, i...>) {
  (fold4(sum_at<4 * i, R, O>(sums), sum_at<4 * i + 1, R, O>(sums), sum_at<4 * i + 2, R, O>(sums),
         sum_at<4 * i + 3, R, O>(sums), flat + 4 * i),
   ...);
}

// out[r * stride + o] = the fold of sums[r][o].
template <int R, int O>
HWY_INLINE void fold(const Sums<R, O>& sums, float* out, Int stride) {
  constexpr int fours = (R * O + 3) / 4;
  alignas(64) float flat[fours * 4];
  fold_fours<R, O>(sums, flat, std::make_integer_sequence<int, fours>());
  for (int r = 0; r < R; ++r) std::memcpy(out + r * stride, flat + r * O, O * sizeof(float));
}

template <int R, int O, int... i>
HWY_INLINE void load_each(const float* saved, Sums<R, O>& sums, std::integer_sequence<int, i...>) {
  ((sums[i / O][i % O] = hn::Load(Floats(), saved + i * kLanes)), ...);
}
template <int R, int O, int... i>
HWY_INLINE void store_each(const Sums<R, O>& sums, float* saved, std::integer_sequence<int, i...>) {
  (hn::Store(sums[i / O][i % O], Floats(), saved + i * kLanes), ...);
}
template <int R, int O, int... i>
HWY_INLINE void clear_each(Sums<R, O>& sums, std::integer_sequence<int, i...>) {
  ((sums[i / O][i % O] = hn::Zero(Floats())), ...);
}

// Bias, clip, activation and add for one row's outputs [first, first + n). `sums` holds whole vectors.
HWY_NOINLINE void finish(const Linear& a, Int r, Int first, Int n, float* sums) {
  std::fill(sums + n, sums + ceil_div(n, kLanes) * kLanes, 0.f);
  if (a.bias) {
    const float* bias = a.bias.as<const float>() + first;
    for_lanes(n, [&](auto d, Int i)
                     HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, sums + i), widen(d, bias + i)), d, sums + i); });
  }
  if (a.clip > 0) {
    for_lanes(n, [&](auto d, Int i) HWY_ATTR {
      const auto x = hn::LoadU(d, sums + i), top = hn::Set(d, a.clip);
      const auto low = hn::IfThenElse(hn::Lt(x, hn::Neg(top)), hn::Neg(top), x);  // keeps NaN
      hn::StoreU(hn::IfThenElse(hn::Gt(low, top), top, low), d, sums + i);
    });
  }
  act_row(a.act, sums, n);
  float* out = row(a.out, r) + first;
  if (!a.add) {
    std::memcpy(out, sums, static_cast<std::size_t>(n) * sizeof(float));
    return;
  }
  const float* add = row(a.add, r) + first;
  for_lanes(n, [&](auto d, Int i)
                   HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, add + i), hn::LoadU(d, sums + i)), d, out + i); });
}

// --- few rows: the weights come from memory once, R rows use them on the way ---

constexpr Int kFewOuts = 48;  // outputs of one task: a multiple of kLanes and of every outs_at_once

template <class W>
const W* weight_row(const Linear& a, Int o) {
  return a.weight.as<const W>() + o * a.weight.step(0);
}

// Fetches the line `ahead` bytes after p, which may lie outside of the weights: a hint, not a read.
template <class W>
HWY_INLINE void prefetch(const W* p, Int ahead) {
  hwy::Prefetch(reinterpret_cast<const W*>(reinterpret_cast<std::intptr_t>(p) + static_cast<std::intptr_t>(ahead)));
}

template <int R, class W>
HWY_NOINLINE void few_rows(const Linear& a, Int r0, Int first, Int outs) {
  constexpr int O = outs_at_once(R);
  const Int in = a.x[1], whole = in / kLanes * kLanes;
  constexpr Int kSize = static_cast<Int>(sizeof(W)), kLine = std::max<Int>(kLanes, 64 / kSize);
  // Each of the O streams is fetched a little ahead, at the end of its row from its next row: a row is too short for
  // the processor to notice the stream by itself. 2048 bytes measured best among 512 to 8192, 4 streams better than 8.
  const Int ahead = std::min<Int>(2048, in * kSize), turn = in - ahead / kSize;
  alignas(64) float sums[R][kFewOuts];
  Operands<R, O, W> operands;
  for (int r = 0; r < R; ++r) operands.x[r] = row(a.x, r0 + r);
  for (Int o = 0; o < outs; o += O) {
    for (int i = 0; i < O; ++i) operands.w[i] = weight_row<W>(a, std::min(first + o + i, first + outs - 1));
    Sums<R, O> tile;
    clear_each<R, O>(tile, std::make_integer_sequence<int, R * O>());
    Int k = 0;
    for (; k + kLine <= whole; k += kLine) {
      const Int distance = k < turn ? ahead : ahead + (O - 1) * in * kSize;
      for (int i = 0; i < O; ++i) prefetch(operands.w[i] + k, distance);
      for (Int j = 0; j < kLine; j += kLanes) step<R, O, W>(operands, k + j, tile);
    }
    for (; k < whole; k += kLanes) step<R, O, W>(operands, k, tile);
    if (whole < in) last_step<R, O, W>(operands, whole, in - whole, tile);
    fold<R, O>(tile, &sums[0][o], kFewOuts);
  }
  for (int r = 0; r < R; ++r) finish(a, r0 + r, first, outs, sums[r]);
}

// Up to kFewRows rows, four at a time: the first four bring the weights into the second cache for the rest.
constexpr Int kFewRows = 16;

template <class W>
void few(const Linear& a, Int first, Int outs) {
  for (Int r = 0; r < a.x[0]; r += kTileRows) {
    switch (std::min<Int>(kTileRows, a.x[0] - r)) {
      case 1:
        few_rows<1, W>(a, r, first, outs);
        break;
      case 2:
        few_rows<2, W>(a, r, first, outs);
        break;
      case 3:
        few_rows<3, W>(a, r, first, outs);
        break;
      default:
        few_rows<4, W>(a, r, first, outs);
    }
  }
}

// --- many rows: blocks of rows x outputs, K in pieces that keep the operands of a tile in the nearest cache ---

constexpr Int kBlockRows = 64;
constexpr Int kBlockOuts = 24;
constexpr Int kSumsStride = ceil_div(kBlockOuts, kLanes) * kLanes;
constexpr Int kPiece = 1024;
constexpr Int kPad = 16;  // between a panel's rows, which would else compete for the same sets of the cache
constexpr Int kBlockTiles = kBlockRows / kTileRows * (kBlockOuts / kTileOuts);

struct Scratch {
  alignas(64) float panel[kTileOuts * (kPiece + kPad)];                   // weights of one panel as fp32
  alignas(64) float saved[kBlockTiles * kTileRows * kTileOuts * kLanes];  // accumulators between pieces
  alignas(64) float sums[kBlockRows * kSumsStride];
};

struct Block {
  Int r0, rows, o0, outs;
};

template <int R, class W>
HWY_NOINLINE void tile(const Linear& a, const Block& b, Int r, Int o, Int k0, Int k1, const float* panel, float* saved,
                       Scratch& scratch) {
  constexpr int O = kTileOuts;
  const Int in = a.x[1], whole = in / kLanes * kLanes;
  Operands<R, O, float> operands;
  for (int i = 0; i < R; ++i) operands.x[i] = row(a.x, b.r0 + r + i) + k0;
  for (int i = 0; i < O; ++i) operands.w[i] = panel + i * (k1 - k0 + kPad);
  Sums<R, O> tile;
  if (k0 == 0) {
    clear_each<R, O>(tile, std::make_integer_sequence<int, R * O>());
  } else {
    load_each<R, O>(saved, tile, std::make_integer_sequence<int, R * O>());
  }
  for (Int k = 0; k < k1 - k0; k += kLanes) step<R, O, float>(operands, k, tile);
  if (k1 < whole) {
    store_each<R, O>(tile, saved, std::make_integer_sequence<int, R * O>());
    return;
  }
  if (whole < in) {
    Operands<R, O, W> ends;
    for (int i = 0; i < R; ++i) ends.x[i] = row(a.x, b.r0 + r + i);
    for (int i = 0; i < O; ++i) ends.w[i] = weight_row<W>(a, b.o0 + std::min(o + i, b.outs - 1));
    last_step<R, O, W>(ends, whole, in - whole, tile);
  }
  fold<R, O>(tile, scratch.sums + r * kSumsStride + o, kSumsStride);
}

// Elements [k0, k1) of kTileOuts weight rows, widened, one after the other.
template <class W>
HWY_NOINLINE void fill_panel(const Linear& a, const Block& b, Int o, Int k0, Int k1, float* panel) {
  const Floats d;
  for (int i = 0; i < kTileOuts; ++i) {
    const W* w = weight_row<W>(a, b.o0 + std::min(o + i, b.outs - 1));
    for (Int k = k0; k < k1; k += kLanes, panel += kLanes) hn::Store(widen(d, w + k), d, panel);
    panel += kPad;
  }
}

// Fetches part `part` of `parts` of the next panel's weights into the second cache, while this one's are multiplied.
template <class W>
HWY_INLINE void fetch_panel(const Linear& a, const Block& b, Int o, Int k0, Int k1, Int part, Int parts) {
  constexpr Int kLine = 64 / static_cast<Int>(sizeof(W));
  const Int first = k0 + (k1 - k0) * part / parts, last = k0 + (k1 - k0) * (part + 1) / parts;
  for (Int i = o; i < std::min(o + kTileOuts, b.outs); ++i) {
    const W* w = weight_row<W>(a, b.o0 + i);
    for (Int k = first; k < last; k += kLine) __builtin_prefetch(w + k, 0, 2);
  }
}

template <class W>
HWY_NOINLINE void many_rows(const Linear& a, const Block& b) {
  Scratch scratch;
  const Int in = a.x[1], whole = in / kLanes * kLanes;
  const Int pieces = std::max<Int>(1, ceil_div(whole, kPiece));
  const Int piece = ceil_div(ceil_div(whole, pieces), kLanes) * kLanes;
  for (Int k0 = 0; k0 == 0 || k0 < whole; k0 += piece) {
    const Int k1 = std::min(whole, k0 + piece);
    float* saved = scratch.saved;
    for (Int o = 0; o < b.outs; o += kTileOuts) {
      fill_panel<W>(a, b, o, k0, k1, scratch.panel);
      for (Int r = 0; r < b.rows; r += kTileRows, saved += kTileRows * kTileOuts * kLanes) {
        fetch_panel<W>(a, b, o + kTileOuts, k0, k1, r / kTileRows, ceil_div(b.rows, kTileRows));
        switch (std::min<Int>(kTileRows, b.rows - r)) {
          case 1:
            tile<1, W>(a, b, r, o, k0, k1, scratch.panel, saved, scratch);
            break;
          case 2:
            tile<2, W>(a, b, r, o, k0, k1, scratch.panel, saved, scratch);
            break;
          case 3:
            tile<3, W>(a, b, r, o, k0, k1, scratch.panel, saved, scratch);
            break;
          default:
            tile<4, W>(a, b, r, o, k0, k1, scratch.panel, saved, scratch);
        }
      }
    }
    if (piece == 0) break;
  }
  for (Int r = 0; r < b.rows; ++r) finish(a, b.r0 + r, b.o0, b.outs, scratch.sums + r * kSumsStride);
}

template <class W>
void linear_of(WorkerPool& pool, const Linear& a) {
  const Int rows = a.x[0], outs = a.weight[0];
  if (rows <= kFewRows) {
    spread(pool, ceil_div(outs, kFewOuts), rows * outs * a.x[1],
           [&](Int i) noexcept { few<W>(a, i * kFewOuts, std::min(kFewOuts, outs - i * kFewOuts)); });
    return;
  }
  // Blocks of rows follow each other, so that a block of weights is read from memory once.
  const Int row_blocks = ceil_div(rows, kBlockRows);
  spread(pool, row_blocks * ceil_div(outs, kBlockOuts), rows * outs * a.x[1], [&](Int i) noexcept {
    const Int r0 = i % row_blocks * kBlockRows, o0 = i / row_blocks * kBlockOuts;
    many_rows<W>(a, {r0, std::min(kBlockRows, rows - r0), o0, std::min(kBlockOuts, outs - o0)});
  });
}

void linear_here(WorkerPool& pool, const Linear& a) {
  if (a.x[0] == 0 || a.weight[0] == 0) return;
  if (a.weight.dtype == DType::f16) return linear_of<f16>(pool, a);
  if (a.weight.dtype == DType::bf16) return linear_of<bf16>(pool, a);
  return linear_of<float>(pool, a);
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(linear_here);
}
void linear(Device& device, const Linear& a) noexcept { HWY_DYNAMIC_DISPATCH(linear_here)(host::pool_of(device), a); }
}  // namespace pkv::kernels::cpu
#endif
