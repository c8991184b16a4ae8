// out = add + act(clip(x . weight^T + bias)).
//
// Row law: K is cut into pieces of the same length, at most kPiece, by K alone. In a piece an output's sum is one
// chain: its accumulator is one vector; step i multiplies elements [i*lanes, (i+1)*lanes) of the two rows into it, the
// last step padded with zeros; then the lanes are folded by one fixed tree. The pieces' sums are added in their order.
// Every path below, one row or many, performs just these operations for each output. Threads share out outputs and
// rows, never K. (Folding each piece leaves one number to keep between pieces where an unfolded accumulator is a
// vector: putting 25 vectors down and taking them up again cost a tile of 1024 steps a fifth of its time.)
#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/table.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

// A tile of R rows and O outputs holds R*O accumulators in registers. The shapes leave room for O weights and one x. On
// a Zen 5 with AVX-512, 5 x 5 reaches 0.97 of the multiply-add rate, 4 x 6 and 3 x 8 no more than 0.83 and 0.87.
constexpr int kTileRows = kRegisters == 32 ? 5 : 4;
constexpr int kTileOuts = kRegisters == 32 ? 5 : 3;
constexpr int outs_at_once(int rows) { return rows == 1 ? 4 : rows == 2 ? (kRegisters == 32 ? 8 : 4) : kTileOuts; }

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

// The pieces of K: each `length` long but the last; whole vectors, but for the `in` - `whole` elements at the very end.
constexpr Int kPiece = 1024;
struct Pieces {
  Int in, whole, count, length;
  explicit Pieces(Int k)
      : in(k),
        whole(k / kLanes * kLanes),
        count(std::max<Int>(1, ceil_div(whole, kPiece))),
        length(ceil_div(ceil_div(whole, count), kLanes) * kLanes) {}
  Int begin(Int i) const { return i * length; }
  Int end(Int i) const { return std::min(whole, (i + 1) * length); }
  bool ends_in(Int i) const { return i + 1 == count && whole < in; }  // the elements that fill no vector follow piece i
};

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

template <int first, int R, int O, int... i>
HWY_INLINE void fold_vector(const Sums<R, O>& sums, float* flat, std::integer_sequence<int, i...>) {
  const Vec each[kLanes] = {sum_at<first + i, R, O>(sums)...};
  hn::Store(fold_lanes(each), Floats(), flat + first);
}

constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }
template <int R, int O>
constexpr int kFolded = round_up(R* O, kLanes > 4 ? static_cast<int>(kLanes) : 4);

// flat[r * O + o] = the fold of sums[r][o], from sum `first` on. `flat` holds kFolded floats, aligned like a vector.
template <int R, int O, int first = 0>
HWY_INLINE void fold(const Sums<R, O>& sums, float* flat) {
  if constexpr (R * O - first > 4 && kLanes > 4) {
    fold_vector<first, R, O>(sums, flat, std::make_integer_sequence<int, kLanes>());
    fold<R, O, first + static_cast<int>(kLanes)>(sums, flat);
  } else if constexpr (R * O > first) {
    fold4(sum_at<first, R, O>(sums), sum_at<first + 1, R, O>(sums), sum_at<first + 2, R, O>(sums),
          sum_at<first + 3, R, O>(sums), flat + first);
    fold<R, O, first + 4>(sums, flat);
  }
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

constexpr Int kFewOuts = 48;                   // outputs of one task: a multiple of kLanes
constexpr Int kFewStride = kFewOuts + kLanes;  // the last tile may reach beyond

template <class W>
const W* weight_row(const Linear& a, Int o) {
  return a.weight.as<const W>() + o * a.weight.step(0);
}

// Piece p's sums added to the ones before it.
HWY_INLINE void add_piece(Int p, float sum, float* to) { *to = p == 0 ? sum : *to + sum; }

// Side by side: O rows of weights at once.
template <int R, class W>
HWY_NOINLINE void few_rows(const Linear& a, Int first, Int outs) {
  constexpr int O = outs_at_once(R);
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

// How lines of weights are fetched before their use. Marking them as read once (non-temporal) brings 3 to 7 % on a Zen
// 5 and costs a Sapphire Rapids two thirds of its rate, which wants them in the second cache.
struct Fetching {
  bool once = runs_on_amd();
  Int least = once ? 4096 : 8192;  // bytes ahead
};

// A hint that the line at p, which may lie outside of the weights, will be read.
HWY_INLINE void fetch(std::uintptr_t p, bool once) {
  if (once) {
    __builtin_prefetch(reinterpret_cast<const void*>(p), 0, 0);
  } else {
    __builtin_prefetch(reinterpret_cast<const void*>(p), 0, 2);
  }
}

// Piece p of S rows of weights with R rows of x. Lines of weights are fetched in the order of memory: `next` runs
// through them, ahead of their use.
template <int R, int S, class W>
HWY_INLINE void chain(const Operands<R, S, W>& operands, const Pieces& pieces, Int p, bool once, std::uintptr_t& next,
                      Sums<R, S>& sums) {
  constexpr Int kLine = std::max<Int>(kLanes, 64 / static_cast<Int>(sizeof(W))), kLines = 4 / S;
  const Int end = pieces.end(p);
  clear_each<R, S>(sums, std::make_integer_sequence<int, R * S>());
  Int k = pieces.begin(p);
  for (; k + kLines * kLine <= end; k += kLines * kLine) {
#pragma GCC unroll 8
    for (Int l = 0; l < kLines; ++l) {
      for (Int i = 0; i < S; ++i) fetch(next + static_cast<std::uintptr_t>((l * S + i) * 64), once);
#pragma GCC unroll 8
      for (Int j = 0; j < kLine; j += kLanes) step<R, S, W>(operands, k + l * kLine + j, sums);
    }
    next += kLines * S * 64;
  }
  for (; k < end; k += kLanes) step<R, S, W>(operands, k, sums);
  if (pieces.ends_in(p)) last_step<R, S, W>(operands, pieces.whole, pieces.in - pieces.whole, sums);
}

constexpr Int kMostPieces = 32;

// S rows of weights after the other, from begin to end: memory gives most when it is read in order. A row's chain waits
// for itself, but the processor works on the next one meanwhile. Four rows are folded together.
template <int R, int S, class W>
HWY_NOINLINE void rows_in_order(const Linear& a, Int first, Int outs) {
  const Floats d;
  const Pieces pieces(a.x[1]);
  static const Fetching fetching;
  const bool once = fetching.once;
  // Far enough ahead, and beyond the rows that are being read.
  const Int ahead = std::max(fetching.least, S == 1 ? 0 : S * pieces.in * static_cast<Int>(sizeof(W)));
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
        chain<R, S, W>(operands, pieces, p, once, next, tile);
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
// GB/s with two threads of a Sapphire Rapids; 8192 inputs: 34 to 42 of a Zen 5).
template <int R, class W>
void few_of(const Linear& a, Int first, Int outs) {
  constexpr Int kNearFloats = 8192;
  if (R * a.x[1] > (R == 1 ? kMostPieces * kPiece : kNearFloats)) return few_rows<R, W>(a, first, outs);
  rows_in_order<R, R == 1 && sizeof(W) == 2 && kLanes <= 8 ? 2 : 1, W>(a, first, outs);
}

constexpr Int kFewRows = 4;

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

// --- many rows: blocks of rows x outputs ---
//
// A task is kBlockRows rows and kTaskOuts outputs. It goes through K by pieces, so that the rows' pieces stay in the
// second cache; a piece through panels of kTileOuts outputs, which stay in the first; a panel through tiles of
// kTileRows rows.

constexpr Int kBlockRows = kRegisters == 32 ? 130 : 64;
constexpr Int kTaskOuts = kRegisters == 32 ? 80 : 96;  // whole vectors and whole panels
constexpr Int kPad = 16;  // between a panel's rows, which would else compete for the same sets of the cache
constexpr Int kCopied = kTileOuts > 4 ? 8 : 4;  // floats moved at once to bring one row of a tile to its place
constexpr Int kGathered = 4 * kTileRows;        // rows brought together before the first of them is read again
static_assert(kTaskOuts % kLanes == 0 && kTaskOuts % kTileOuts == 0 && kCopied >= kTileOuts);

struct Scratch {
  alignas(64) float panel[kTileOuts * (kPiece + kPad)];  // a panel's weights as fp32
  alignas(64) float tiles[kTaskOuts / kTileOuts][ceil_div(kBlockRows, kTileRows)][kFolded<kTileRows, kTileOuts>];
  alignas(64) float room[kCopied];  // copies read beyond `tiles`
  alignas(64) float sums[kGathered][kTaskOuts + kLanes];
};

struct Block {
  Int r0, rows, o0, outs;
};

// A panel's outputs and elements of K, and where these weights are as fp32.
template <class W>
struct Panel {
  Int o, k0, k1;
  bool last;  // k1 is the end of the last piece
  const float* w[kTileOuts];
};

template <class W>
HWY_NOINLINE void widen_panel(const Linear& a, Panel<W>& p, float* scratch) {
  const Floats d;
  for (int i = 0; i < kTileOuts; ++i) {
    const W* w = weight_row<W>(a, std::min(p.o + i, a.weight[0] - 1));
    if constexpr (std::is_same_v<W, float>) {
      p.w[i] = w + p.k0;
    } else {
      p.w[i] = scratch;
      for (Int k = p.k0; k < p.k1; k += kLanes, scratch += kLanes) hn::Store(widen(d, w + k), d, scratch);
      scratch += kPad;
    }
  }
}

template <int R, class W>
HWY_NOINLINE void tile(const Linear& a, Int r, const Panel<W>& p, float* folded) {
  constexpr int O = kTileOuts;
  const Int in = a.x[1];
  Operands<R, O, float> operands;
  for (int i = 0; i < R; ++i) operands.x[i] = row(a.x, r + i) + p.k0;
  for (int i = 0; i < O; ++i) operands.w[i] = p.w[i];
  Sums<R, O> tile;
  clear_each<R, O>(tile, std::make_integer_sequence<int, R * O>());
  for (Int k = 0; k < p.k1 - p.k0; k += kLanes) step<R, O, float>(operands, k, tile);
  if (p.last && p.k1 < in) {
    Operands<R, O, W> ends;
    for (int i = 0; i < R; ++i) ends.x[i] = row(a.x, r + i);
    for (int i = 0; i < O; ++i) ends.w[i] = weight_row<W>(a, std::min(p.o + i, a.weight[0] - 1));
    last_step<R, O, W>(ends, p.k1, in - p.k1, tile);
  }
  if (p.k0 == 0) return fold<R, O>(tile, folded);
  alignas(64) float flat[kFolded<R, O>];
  fold<R, O>(tile, flat);
  const hn::CappedTag<float, 4> d;  // kFolded is a multiple
  for (int i = 0; i < kFolded<R, O>; i += static_cast<int>(hn::MaxLanes(d))) {
    hn::Store(hn::Add(hn::Load(d, folded + i), hn::Load(d, flat + i)), d, folded + i);
  }
}

template <class W>
void tile_of(Int rows, const Linear& a, Int r, const Panel<W>& p, float* folded) {
  switch (std::min<Int>(kTileRows, rows)) {
    case 1:
      return tile<1, W>(a, r, p, folded);
    case 2:
      return tile<2, W>(a, r, p, folded);
    case 3:
      return tile<3, W>(a, r, p, folded);
    case 4:
      return tile<4, W>(a, r, p, folded);
    default:
      return tile<kTileRows, W>(a, r, p, folded);
  }
}

// Fetches part `part` of `parts` of elements [k0, k1) of the panel at `o` into the second cache, while another one is
// multiplied.
template <class W>
HWY_INLINE void fetch_panel(const Linear& a, Int o, Int k0, Int k1, Int part, Int parts) {
  constexpr Int kLine = 64 / static_cast<Int>(sizeof(W));
  const Int first = k0 + (k1 - k0) * part / parts, last = k0 + (k1 - k0) * (part + 1) / parts;
  for (Int i = o; i < std::min(o + kTileOuts, a.weight[0]); ++i) {
    const W* w = weight_row<W>(a, i);
    for (Int k = first; k < last; k += kLine) __builtin_prefetch(w + k, 0, 2);
  }
}

template <class W>
HWY_NOINLINE void many_rows(const Linear& a, const Block& b) {
  Scratch scratch;
  const Pieces pieces(a.x[1]);
  const Int tiles = ceil_div(b.rows, kTileRows);
  for (Int i = 0; i < pieces.count; ++i) {
    for (Int o = 0; o < b.outs; o += kTileOuts) {
      Panel<W> panel{b.o0 + o, pieces.begin(i), pieces.end(i), i + 1 == pieces.count, {}};
      widen_panel<W>(a, panel, scratch.panel);
      // The next panel: of this piece, of the next one, or of the next task.
      const bool turn = o + kTileOuts >= b.outs && !panel.last;
      const Int next = turn ? b.o0 : panel.o + kTileOuts, piece = turn ? i + 1 : o + kTileOuts >= b.outs ? 0 : i;
      for (Int t = 0; t < tiles; ++t) {
        fetch_panel<W>(a, next, pieces.begin(piece), pieces.end(piece), t, tiles);
        tile_of<W>(b.rows - t * kTileRows, a, b.r0 + t * kTileRows, panel, scratch.tiles[o / kTileOuts][t]);
      }
    }
  }
  for (Int r0 = 0; r0 < b.rows; r0 += kGathered) {
    const Int end = std::min(b.rows, r0 + kGathered);
    for (Int r = r0; r < end; ++r) {
      for (Int o = 0; o < b.outs; o += kTileOuts) {
        std::memcpy(scratch.sums[r - r0] + o, scratch.tiles[o / kTileOuts][r / kTileRows] + r % kTileRows * kTileOuts,
                    kCopied * sizeof(float));
      }
    }
    for (Int r = r0; r < end; ++r) finish(a, b.r0 + r, b.o0, b.outs, scratch.sums[r - r0]);
  }
}

// Shares of `blocks` blocks of outputs: long at first, so that each thread reads a long stretch of memory in order, and
// short in the end, so that all threads finish together.
class Shares {
 public:
  Shares(Int blocks, Int threads) : blocks_(blocks), threads_(threads) {
    for (Int left = blocks; left > 0; left -= at_once(left) * length(left)) count_ += at_once(left);
  }
  Int count() const { return count_; }
  // The first block of share i, and the one after its last.
  std::pair<Int, Int> range(Int i) const {
    Int left = blocks_;
    for (; i >= at_once(left); left -= at_once(left) * length(left)) i -= at_once(left);
    const Int begin = blocks_ - left + i * length(left);
    return {begin, begin + length(left)};
  }

 private:
  Int length(Int left) const { return std::max<Int>(1, left / (2 * threads_)); }
  Int at_once(Int left) const { return std::min(threads_, left); }  // shares of this length

  Int blocks_, threads_, count_ = 0;
};

template <class W>
void linear_of(WorkerPool& pool, const Linear& a) {
  const Int rows = a.x[0], outs = a.weight[0];
  if (rows <= kFewRows) {
    const Shares shares(ceil_div(outs, kFewOuts), pool.threads());
    spread(pool, shares.count(), rows * outs * a.x[1], [&](Int i) noexcept {
      const auto [begin, end] = shares.range(i);
      for (Int o = begin * kFewOuts; o < std::min(end * kFewOuts, outs); o += kFewOuts) {
        few<W>(a, o, std::min(kFewOuts, outs - o));
      }
    });
    return;
  }
  // Blocks of rows of about the same size. They follow each other, so that a block of weights is read from memory once.
  const Int row_blocks = ceil_div(rows, kBlockRows);
  const Int block = ceil_div(ceil_div(rows, row_blocks), kTileRows) * kTileRows;
  spread(pool, row_blocks * ceil_div(outs, kTaskOuts), rows * outs * a.x[1], [&](Int i) noexcept {
    const Int r0 = i % row_blocks * block, o0 = i / row_blocks * kTaskOuts;
    many_rows<W>(a, {r0, std::min(block, rows - r0), o0, std::min(kTaskOuts, outs - o0)});
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
