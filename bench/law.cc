// What the row law costs: the cpu table's linear, whose sums are one chain along K for one row as for many
// (src/engine/kernels/cpu/linear.cc), in turn with the best that this file can do when each count of rows may add up in
// any order: several accumulators for one output of one row, and the classical tile, lanes along outputs, for many
// rows. Both use the same weights, threads and clock. cost = ours / without - 1, the median over rounds of the two
// times next to each other; a negative cost says that the variant without the law is slower. The times are the least of
// three medians. Weights cycle through more memory than the caches hold. For one row the best of three variants counts,
// so that noise speaks against the law.
#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/law.cc"
#include "hwy/foreach_target.h"
//
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "bench/clock.h"
#include "bench/ops.h"
#include "engine/kernels/cpu/lanes-inl.h"
#include "engine/kernels/cpu/peak.h"
#include "engine/kernels/cpu/table.h"
#include "engine/tensor/buffer.h"
#include "hwy/highway.h"

// For all sets of instructions: what the sizes below count on.
#ifndef PKV_BENCH_LAW_ONCE
#define PKV_BENCH_LAW_ONCE
namespace pkv::bench {
using Int = std::int64_t;
struct Range {
  Int begin, end;
};
constexpr Int kInMultiple = 128, kOutMultiple = 32;  // every shape: so no edges, which favours the variants
}  // namespace pkv::bench
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

using bench::Range;

// --- one row ---

template <int S, int A, class W>
HWY_INLINE void step(const float* x, const W* const (&w)[S], Int k, Vec (&sums)[S][A]) {
  const Floats d;
  for (int i = 0; i < A; ++i) {
    const Vec each = hn::LoadU(d, x + k + i * kLanes);
    for (int s = 0; s < S; ++s) sums[s][i] = hn::MulAdd(each, widen(d, w[s] + k + i * kLanes), sums[s][i]);
  }
}

// Written out: from a loop the compiler makes memory of the accumulators.
HWY_INLINE Vec total(const Vec (&v)[2]) { return hn::Add(v[0], v[1]); }
HWY_INLINE Vec total(const Vec (&v)[4]) { return hn::Add(hn::Add(v[0], v[1]), hn::Add(v[2], v[3])); }

// S rows of weights times x, each into A accumulators. Lines are fetched in the order of memory, as linear.cc does it.
template <int S, int A, class W>
HWY_INLINE void dots(const float* x, const W* const (&w)[S], Int in, std::uintptr_t next, float (*to)[kLanes]) {
  constexpr Int kLine = 64 / static_cast<Int>(sizeof(W)), kStep = A * kLanes, kBlock = std::max(kLine, kStep);
  static_assert(bench::kInMultiple % kBlock == 0);
  Vec sums[S][A];
  for (int s = 0; s < S; ++s) {
    for (int i = 0; i < A; ++i) sums[s][i] = hn::Zero(Floats());
  }
  for (Int k = 0; k < in; k += kBlock, next += S * kBlock * sizeof(W)) {
#pragma GCC unroll 16
    for (Int l = 0; l < S * kBlock / kLine; ++l) {
      __builtin_prefetch(reinterpret_cast<const void*>(next + static_cast<std::uintptr_t>(l * 64)), 0, 0);
    }
#pragma GCC unroll 8
    for (Int j = 0; j < kBlock; j += kStep) step<S, A, W>(x, w, k + j, sums);
  }
  for (int s = 0; s < S; ++s) hn::Store(total(sums[s]), Floats(), to[s]);
}

// Outputs of `range`, S rows of weights side by side.
template <int S, int A, class W>
HWY_NOINLINE void row_range(const Linear& a, Range range) {
  const Floats d;
  const Int in = a.x[1], ahead = std::max<Int>(4096, S == 1 ? 0 : S * in * static_cast<Int>(sizeof(W)));
  alignas(64) float sums[4][kLanes];
  for (Int o = range.begin; o < range.end; o += 4) {
    for (int i = 0; i < 4; i += S) {
      const W* w[S];
      for (int s = 0; s < S; ++s) w[s] = a.weight.as<const W>() + (o + i + s) * a.weight.step(0);
      const auto next = reinterpret_cast<std::uintptr_t>(w[0]) + static_cast<std::uintptr_t>(ahead);
      dots<S, A, W>(row(a.x, 0), w, in, next, sums + i);
    }
    fold4(hn::Load(d, sums[0]), hn::Load(d, sums[1]), hn::Load(d, sums[2]), hn::Load(d, sums[3]), row(a.out, 0) + o);
  }
}

template <int S, int A>
void one_row(WorkerPool& pool, const Linear& a, std::span<const Range> shares) {
  pool.parallel_for(static_cast<Int>(shares.size()), [&](Int i) noexcept {
    const Range range = shares[static_cast<std::size_t>(i)];
    if (a.weight.dtype == DType::f16) return row_range<S, A, f16>(a, range);
    if (a.weight.dtype == DType::bf16) return row_range<S, A, bf16>(a, range);
    row_range<S, A, float>(a, range);
  });
}

void in_order(WorkerPool& pool, const Linear& a, std::span<const Range> shares) { one_row<1, 4>(pool, a, shares); }
void pairs(WorkerPool& pool, const Linear& a, std::span<const Range> shares) { one_row<2, 4>(pool, a, shares); }
void side_by_side(WorkerPool& pool, const Linear& a, std::span<const Range> shares) {
  one_row<4, kRegisters == 32 ? 4 : 2>(pool, a, shares);
}

// --- many rows ---
//
// A task is kTaskOuts outputs of at most kBlockRows rows. It goes through K by depths that let a panel of weights,
// [depth][kPanel] and widened, stay in the first cache, and the rows' pieces in the second.

constexpr int kTileRows = kRegisters == 32 ? 14 : 6;
constexpr Int kPanel = 2 * kLanes, kTaskOuts = 96, kDepth = 256, kBlockRows = 518;
static_assert(bench::kOutMultiple % kPanel == 0 && kTaskOuts % kPanel == 0);

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void transpose(Vec (&)[kLanes]) {}
#else
// Four by four in each block of 128 bits: v[j] block b, lane i = what v[i] block b, lane j was.
HWY_INLINE void transpose_blocks(Vec* v) {
  const Floats d;
  const hn::Repartition<std::uint64_t, Floats> pairs;
  const auto low = hn::BitCast(pairs, hn::InterleaveLower(d, v[0], v[1]));
  const auto low2 = hn::BitCast(pairs, hn::InterleaveLower(d, v[2], v[3]));
  const auto high = hn::BitCast(pairs, hn::InterleaveUpper(d, v[0], v[1]));
  const auto high2 = hn::BitCast(pairs, hn::InterleaveUpper(d, v[2], v[3]));
  v[0] = hn::BitCast(d, hn::InterleaveLower(pairs, low, low2));
  v[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, low, low2));
  v[2] = hn::BitCast(d, hn::InterleaveLower(pairs, high, high2));
  v[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, high, high2));
}

// v[j] lane i = what v[i] lane j was.
HWY_INLINE void transpose(Vec (&v)[kLanes]) {
  for (int i = 0; i < kLanes; i += 4) transpose_blocks(v + i);
#if HWY_TARGET == HWY_AVX3
  for (int i = 0; i < 4; ++i) {
    const auto a = v[i].raw, b = v[i + 4].raw, c = v[i + 8].raw, e = v[i + 12].raw;
    const auto ab = _mm512_shuffle_f32x4(a, b, 0x44), ab2 = _mm512_shuffle_f32x4(a, b, 0xee);
    const auto ce = _mm512_shuffle_f32x4(c, e, 0x44), ce2 = _mm512_shuffle_f32x4(c, e, 0xee);
    v[i] = Vec{_mm512_shuffle_f32x4(ab, ce, 0x88)};
    v[i + 4] = Vec{_mm512_shuffle_f32x4(ab, ce, 0xdd)};
    v[i + 8] = Vec{_mm512_shuffle_f32x4(ab2, ce2, 0x88)};
    v[i + 12] = Vec{_mm512_shuffle_f32x4(ab2, ce2, 0xdd)};
  }
#else
  if constexpr (kLanes == 8) {
    const Floats d;
    for (int i = 0; i < 4; ++i) {
      const Vec a = v[i], b = v[i + 4];
      v[i] = hn::ConcatLowerLower(d, b, a);
      v[i + 4] = hn::ConcatUpperUpper(d, b, a);
    }
  }
#endif
}
#endif

// panel[k][i] = weight[o + i][k0 + k]
template <class W>
HWY_NOINLINE void pack(const Linear& a, Int o, Int k0, Int depth, float* panel) {
  const Floats d;
  for (Int half = 0; half < kPanel; half += kLanes) {
    const W* w = a.weight.as<const W>() + (o + half) * a.weight.step(0) + k0;
    for (Int k = 0; k < depth; k += kLanes) {
      Vec v[kLanes];
      for (int i = 0; i < kLanes; ++i) v[i] = widen(d, w + i * a.weight.step(0) + k);
      transpose(v);
      for (int i = 0; i < kLanes; ++i) hn::Store(v[i], d, panel + (k + i) * kPanel + half);
    }
  }
}

// Lines of weights to bring into the second cache during a tile: `rows` of them for every `every` steps. All at once
// they would fill the queue of misses, and the tile would wait.
struct Fetch {
  const std::byte* from;
  Int rows, step, every;
};

struct Rows {
  float* at;
  Int step;
};

// out[r][0 .. kPanel) (+)= x[r] . panel
template <int R>
HWY_NOINLINE void tile(Rows x, const float* panel, Int depth, bool add, Rows out, Fetch fetch) {
  const Floats d;
  Vec sums[R][2];
  for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = hn::Zero(d);
  for (Int k = 0; k < depth; fetch.from += 64) {
    for (Int i = 0; i < fetch.rows; ++i) __builtin_prefetch(fetch.from + i * fetch.step, 0, 2);
    for (const Int end = k + fetch.every; k < end; ++k, panel += kPanel) {
      const Vec w0 = hn::Load(d, panel), w1 = hn::Load(d, panel + kLanes);
      for (int r = 0; r < R; ++r) {
        const Vec each = hn::Set(d, x.at[r * x.step + k]);
        sums[r][0] = hn::MulAdd(each, w0, sums[r][0]);
        sums[r][1] = hn::MulAdd(each, w1, sums[r][1]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r, out.at += out.step) {
    if (add) sums[r][0] = hn::Add(hn::LoadU(d, out.at), sums[r][0]);
    if (add) sums[r][1] = hn::Add(hn::LoadU(d, out.at + kLanes), sums[r][1]);
    hn::StoreU(sums[r][0], d, out.at);
    hn::StoreU(sums[r][1], d, out.at + kLanes);
  }
}

using Tile = void (*)(Rows, const float*, Int, bool, Rows, Fetch);
template <int... i>
Tile tile_of(Int rows, std::integer_sequence<int, i...>) {
  static constexpr Tile kTiles[] = {tile<i + 1>...};
  return kTiles[rows - 1];
}

// Part `part` of `parts` of the panel of outputs from `o` on, elements from `k` on.
template <class W>
Fetch part_of_panel(const Linear& a, Int o, Int k, Int part, Int parts) {
  constexpr Int kSize = static_cast<Int>(sizeof(W));
  const Int first = std::min(a.weight[0], o + kPanel * part / parts);
  const Int end = std::min(a.weight[0], o + kPanel * (part + 1) / parts);
  const W* from = a.weight.as<const W>() + first * a.weight.step(0) + k;
  return {reinterpret_cast<const std::byte*>(from), end - first, a.weight.step(0) * kSize, 64 / kSize};
}

template <class W>
HWY_NOINLINE void block(const Linear& a, Range rows, Range outs) {
  alignas(64) float panel[kPanel * kDepth];
  // Tiles of about the same height: a short last one would wait for its own chains.
  const Int in = a.x[1], all = rows.end - rows.begin, tiles = ceil_div(all, kTileRows);
  for (Int k = 0; k < in; k += kDepth) {
    const Int depth = std::min(kDepth, in - k);
    for (Int o = outs.begin; o < outs.end; o += kPanel) {
      pack<W>(a, o, k, depth, panel);
      const bool turn = o + kPanel >= outs.end;  // to the next depth, or to the next task
      const Int next_k = !turn ? k : k + kDepth < in ? k + kDepth : 0;
      const Int next_o = turn && k + kDepth < in ? outs.begin : o + kPanel;
      for (Int t = 0; t < tiles; ++t) {
        const Int r = rows.begin + all * t / tiles, end = rows.begin + all * (t + 1) / tiles;
        const Tile multiply = tile_of(end - r, std::make_integer_sequence<int, kTileRows>());
        multiply({row(a.x, r) + k, a.x.step(0)}, panel, depth, k > 0, {row(a.out, r) + o, a.out.step(0)},
                 part_of_panel<W>(a, next_o, next_k, t, tiles));
      }
    }
  }
}

void tiles(WorkerPool& pool, const Linear& a, std::span<const Range>) {
  const Int rows = a.x[0], outs = a.weight[0], row_blocks = ceil_div(rows, kBlockRows);
  pool.parallel_for(row_blocks * ceil_div(outs, kTaskOuts), [&](Int i) noexcept {
    const Int r = i % row_blocks, o = i / row_blocks * kTaskOuts;
    const Range some{rows * r / row_blocks, rows * (r + 1) / row_blocks}, of{o, std::min(o + kTaskOuts, outs)};
    if (a.weight.dtype == DType::f16) return block<f16>(a, some, of);
    if (a.weight.dtype == DType::bf16) return block<bf16>(a, some, of);
    block<float>(a, some, of);
  });
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(in_order);
HWY_EXPORT(pairs);
HWY_EXPORT(side_by_side);
HWY_EXPORT(tiles);

using bench::Int;
using bench::OpOptions;
using bench::random_buffer;
using bench::Range;

constexpr std::string_view kUsage =
    "bench_law [--only WORD] [--isa NAME] [--threads N] [--seconds S] [--clock cpu] [--output json]\n";

struct Variant {
  std::string_view name;
  void (*call)(WorkerPool&, const Linear&, std::span<const Range>);
};

#define PKV_VARIANT(name) \
  [](WorkerPool& pool, const Linear& a, std::span<const Range> shares) { HWY_DYNAMIC_DISPATCH(name)(pool, a, shares); }
std::vector<Variant> variants(Int rows) {
  if (rows > 1) return {{"tiles", PKV_VARIANT(tiles)}};
  return {{"in order", PKV_VARIANT(in_order)},
          {"in pairs", PKV_VARIANT(pairs)},
          {"side by side", PKV_VARIANT(side_by_side)}};
}
#undef PKV_VARIANT

// linear.cc's shares of the outputs of one row: long at first, short in the end.
std::vector<Range> shares(Int outs, Int threads) {
  constexpr Int kBlock = 48;
  std::vector<Range> all;
  Int begin = 0, left = ceil_div(outs, kBlock);
  while (left > 0) {
    const Int length = std::max<Int>(1, left / (2 * threads));
    for (Int i = std::min(threads, left); i > 0; --i, left -= length, begin += length * kBlock) {
      all.push_back({begin, std::min(outs, begin + length * kBlock)});
    }
  }
  return all;
}

template <class T>
double length_of(const T* v, Int n) {
  double sum = 0;
  for (Int i = 0; i < n; ++i) sum += static_cast<double>(to_float(v[i])) * static_cast<double>(to_float(v[i]));
  return std::sqrt(sum);
}

std::vector<double> row_lengths(const View& v) {
  std::vector<double> lengths;
  for (Int r = 0; r < v[0]; ++r) {
    const Int at = r * v.step(0);
    lengths.push_back(v.dtype == DType::f16    ? length_of(v.as<f16>() + at, v[1])
                      : v.dtype == DType::bf16 ? length_of(v.as<bf16>() + at, v[1])
                                               : length_of(v.as<float>() + at, v[1]));
  }
  return lengths;
}

struct Machine {
  const Ops& ops = table("cpu");
  std::unique_ptr<Device> device;
  WorkerPool& pool;  // the device's: both sides run on the same threads
  kernels::peak::Memory memory;
  explicit Machine(int threads) : device(ops.open(threads)), pool(host::pool_of(*device)), memory(pool) {}
};

// The same sums in two orders differ by less than 4 sqrt(K) 2^-24 |x| |w|: a sum of K terms in any order is off by
// about sqrt(K) 2^-24 of the terms' sizes added up (Higham & Mary 2019, as in checker/compare/bound.h), at most |x|
// |w|; twice for the two, twice for the tail.
void check(Machine& m, Linear a, const Variant& v, std::span<const Range> shares) {
  const Int rows = a.x[0], outs = a.weight[0];
  Buffer want(DType::f32, {rows, outs}), got(DType::f32, {rows, outs});
  std::fill(got.span<float>().begin(), got.span<float>().end(), NAN);
  a.out = want.view();
  m.ops.linear(*m.device, a);
  a.out = got.view();
  v.call(m.pool, a, shares);
  const auto x = row_lengths(a.x), w = row_lengths(a.weight);
  const double unit = 4 * std::sqrt(static_cast<double>(a.x[1])) * 0x1p-24;
  for (std::size_t i = 0; i < want.span<float>().size(); ++i) {
    const auto r = i / static_cast<std::size_t>(outs), o = i % static_cast<std::size_t>(outs);
    if (std::fabs(got.span<float>()[i] - want.span<float>()[i]) <= unit * x[r] * w[o]) continue;
    fmt::print(stderr, "bench_law: {} is off at row {}, output {}; not timed\n", v.name, r, o);
    std::exit(1);
  }
}

struct Times {
  std::vector<double> ours, without, ratios;
  double us = 0, us_without = 0;  // the least median so far
};

double least(double so_far, double value) { return so_far == 0 ? value : std::min(so_far, value); }

// One median of each side, from at least three rounds.
void time_rounds(Times& t, double seconds, const std::function<void()>& ours, const std::function<void()>& without,
                 int calls) {
  const auto time = [calls](const std::function<void()>& call) {
    const double start = bench::seconds();
    for (int i = 0; i < calls; ++i) call();
    return (bench::seconds() - start) / calls * 1e6;
  };
  t.ours.clear();
  t.without.clear();
  for (const double end = bench::seconds() + seconds; bench::seconds() < end || t.ours.size() < 3;) {
    t.ours.push_back(time(ours));
    t.without.push_back(time(without));
    t.ratios.push_back(t.ours.back() / t.without.back());
  }
  t.us = least(t.us, bench::median(t.ours));
  t.us_without = least(t.us_without, bench::median(t.without));
}

struct Shape {
  Int in, outs;
};

Times time_variant(Machine& m, const Linear& a, const View& weights, const Variant& v, double seconds) {
  const Int copies = weights[0] / a.weight[0];
  const auto ranges = shares(a.weight[0], m.pool.threads());
  check(m, a, v, ranges);
  const auto calls_of = [&](const std::function<void(const Linear&)>& call) {
    return [&a, &weights, copies, call, round = Int{0}]() mutable {
      Linear each = a;
      each.weight = weights.rows(round++ % copies * a.weight[0], a.weight[0]);
      call(each);
    };
  };
  const std::function<void()> ours = calls_of([&](const Linear& each) { m.ops.linear(*m.device, each); });
  const std::function<void()> without = calls_of([&](const Linear& each) { v.call(m.pool, each, ranges); });
  double once = bench::seconds();
  ours();
  once = bench::seconds() - once;
  Times t;
  for (int i = 0; i < 3; ++i) time_rounds(t, seconds / 3, ours, without, std::max(1, static_cast<int>(0.005 / once)));
  return t;
}

void print_line(Machine& m, const OpOptions& o, const Linear& a, std::string_view by, const Times& t,
                nlohmann::json& out) {
  const double cost = bench::median(t.ratios) - 1, work = static_cast<double>(a.x[0] * a.weight.elements());
  double peak = 0;  // in units of work per microsecond
  for (int i = 0; i < 3; ++i) {
    peak = std::max(peak, a.x[0] == 1 ? kernels::peak::best_read_rate(m.pool, m.memory, bench::seconds) * 1e3 /
                                            static_cast<double>(size_of(a.weight.dtype))
                                      : kernels::peak::fma_rate(m.pool, bench::seconds) * 1e3);
  }
  const double share = work / t.us / peak, share_without = work / t.us_without / peak;
  const std::string shape = fmt::format("{}x{}", a.x[1], a.weight[0]);
  if (o.json) {
    out.push_back({{"shape", shape},
                   {"format", name_of(a.weight.dtype)},
                   {"rows", a.x[0]},
                   {"ours_us", t.us},
                   {"without_us", t.us_without},
                   {"cost", cost},
                   {"without", by},
                   {"ours_of_peak", share},
                   {"without_of_peak", share_without}});
    return;
  }
  fmt::print("| {} | {} | {} | {:.1f} | {:.1f} | {:+.1f} % | {} | {:.2f} | {:.2f} |\n", shape, name_of(a.weight.dtype),
             a.x[0], t.us, t.us_without, 100 * cost, by, share, share_without);
  std::fflush(stdout);
}

void bench_shape(Machine& m, const OpOptions& o, const View& memory, Shape s, Int rows, nlohmann::json& out) {
  const auto line = fmt::format("{}x{} {} {} rows", s.in, s.outs, name_of(memory.dtype), rows);
  if (line.find(o.only) == std::string::npos) return;
  const View weights(memory.data, memory.dtype, {memory.elements() / s.in, s.in});
  // Rows an odd number of cache lines apart, as the model's are.
  const Buffer x = random_buffer(DType::f32, {rows, s.in | 16}, 2), y(DType::f32, {rows, s.outs});
  const Linear a{.x = x.view().columns(0, s.in), .weight = weights.rows(0, s.outs), .out = y.view()};
  const auto all = variants(rows);
  Times best;
  std::string_view by;
  for (const Variant& v : all) {
    Times t = time_variant(m, a, weights, v, o.seconds / static_cast<double>(all.size()));
    if (by.empty() || bench::median(t.ratios) > bench::median(best.ratios)) by = v.name, best = std::move(t);
  }
  print_line(m, o, a, by, best, out);
}

void bench_all(const OpOptions& o) {
  Machine m(o.threads);
  nlohmann::json out = nlohmann::json::array();
  if (!o.json) {
    fmt::print("{}\n\n| shape | format | rows | ours us | without the law us | cost | without: | ours of peak | ",
               m.device->describe());
    fmt::print("without of peak |\n|---|---|---:|---:|---:|---:|---|---:|---:|\n");
  }
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    constexpr Int kCold = Int{160} << 20;  // bytes of weights to cycle through
    const Buffer memory = random_buffer(dtype, {kCold / static_cast<Int>(size_of(dtype))}, 1);
    for (const Shape s : {Shape{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}, {2048, 8192}, {8192, 2048}}) {
      for (const Int rows : {1, 128, 512}) bench_shape(m, o, memory.view(), s, rows, out);
    }
  }
  if (o.json) fmt::print("{}\n", out.dump(2));
}

}  // namespace
}  // namespace pkv::kernels::cpu

int main(int argc, char** argv) {
  using namespace pkv;
  kernels::cpu::bench_all(bench::read_op_options(kernels::cpu::kUsage, argc, argv, 0.3));
}
#endif
