// What all paths of linear share: tiles of accumulators, the pieces of K, the fold, and the epilogue of a row.
// Included once per instruction set, inside foreach_target.
#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/kernels/cpu/lanes-inl.h"
#include "engine/kernels/cpu/math-inl.h"
#include "engine/kernels/cpu/table.h"

#if defined(PKV_KERNELS_CPU_LINEAR_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_LINEAR_TILE_INL_H_
#undef PKV_KERNELS_CPU_LINEAR_TILE_INL_H_
#else
#define PKV_KERNELS_CPU_LINEAR_TILE_INL_H_
#endif

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
  const std::int32_t* places = a.places ? a.places.as<const std::int32_t>() + first : nullptr;
  if (a.bias && places != nullptr) {
    const auto* bias = a.bias.as<const float>();
    for (Int i = 0; i < n; ++i) sums[i] += bias[places[i]];
  } else if (a.bias) {
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
  if (places != nullptr) {
    const float* add = a.add ? row(a.add, r) : nullptr;
    float* out = row(a.out, r);
    for (Int i = 0; i < n; ++i) out[places[i]] = add == nullptr ? sums[i] : add[places[i]] + sums[i];
    return;
  }
  float* out = row(a.out, r) + first;
  if (!a.add) {
    std::memcpy(out, sums, static_cast<std::size_t>(n) * sizeof(float));
    return;
  }
  const float* add = row(a.add, r) + first;
  for_lanes(n, [&](auto d, Int i)
                   HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, add + i), hn::LoadU(d, sums + i)), d, out + i); });
}

// Few rows: they go over the same outputs together.
constexpr Int kFewRows = 4;
constexpr Int kFewOuts = 48;                   // outputs of one task: a multiple of kLanes and of 4
constexpr Int kFewStride = kFewOuts + kLanes;  // the last tile may reach beyond
constexpr Int kMostPieces = 32;                // of K that wait to be folded

// How lines of weights are fetched before their use. Marking them as read once (non-temporal) brings 3 to 7 % on a Zen
// 5 and costs a Sapphire Rapids two thirds of its rate, which wants them in the second cache; so does a Zen 4 where
// several rows are read at once (Gemma 3 in Q4_K_M 55 to 74 tokens/s). One row after the other it finds by itself, and
// faster without any hint.
struct Fetching {
  bool once = runs_on_amd() && !runs_on_family_19h();
  bool finds_rows = runs_on_family_19h();
  Int ahead = once ? 4096 : 8192;  // bytes
};
inline const Fetching& fetching_here() {
  static const Fetching fetching;
  return fetching;
}

// A hint that the line at p, which may lie outside of the weights, will be read.
HWY_INLINE void fetch(std::uintptr_t p, bool once) {
  if (once) {
    __builtin_prefetch(reinterpret_cast<const void*>(p), 0, 0);
  } else {
    __builtin_prefetch(reinterpret_cast<const void*>(p), 0, 2);
  }
}

template <class W>
const W* weight_row(const Linear& a, Int o) {
  return a.weight.as<const W>() + o * a.weight.step(0);
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
