// linear for many rows: blocks of rows x outputs.
//
// A task is up to kBlockRows rows and kTaskOuts outputs. It goes through K by pieces, so that the rows' pieces stay in
// the second cache; a piece through panels of kTileOuts outputs, which stay in the first; a panel through tiles of
// kTileRows rows.
// Included once per instruction set, inside foreach_target.
#include "engine/kernels/cpu/linear_tile-inl.h"

#if defined(PKV_KERNELS_CPU_LINEAR_MANY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_LINEAR_MANY_INL_H_
#undef PKV_KERNELS_CPU_LINEAR_MANY_INL_H_
#else
#define PKV_KERNELS_CPU_LINEAR_MANY_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr Int kBlockRows = kRegisters == 32 ? 130 : 64;
constexpr Int kTaskOuts = kRegisters == 32 ? 80 : 96;  // whole vectors and whole panels
constexpr Int kPad = 16;  // between a panel's rows, which would else compete for the same sets of the cache
constexpr Int kCopied = kTileOuts > 4 ? 8 : 4;  // floats moved at once to bring one row of a tile to its place
constexpr Int kGathered = 4 * kTileRows;        // rows brought together before the first of them is read again
static_assert(kTaskOuts % 16 == 0 && kTaskOuts % kTileOuts == 0 && kCopied >= kTileOuts);

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

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
