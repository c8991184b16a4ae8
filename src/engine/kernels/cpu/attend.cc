// Softmax attention over the past, block by block of kBlockTokens keys, with a running maximum and sum (Milakov and
// Gimelshein 2018; Dao et al. 2022).
//
// Row law: a query (one head of one row) visits the blocks from that of its first key to its own limit. In each block:
// the scores, lanes along keys, one chain over the head's dimension; the maximum; the weights and their sum by a fixed
// fold; then the values, lanes along the dimension, key after key. Queries that share loads of a block do just these
// operations each. Nothing before a query's first key or beyond its limit takes part: scores there are replaced before
// use, values there are not read.
#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/attend.cc"
#include "hwy/foreach_target.h"
//
#include <cmath>
#include <limits>

#include "engine/kernels/cpu/lanes-inl.h"
#include "engine/kernels/cpu/math-inl.h"
#include "engine/kernels/cpu/table.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr Int kTile = kRegisters == 32 ? 6 : 4;  // queries that share loads of keys and values
constexpr Int kMostTile = 16;                    // at least kTile, whole vectors
constexpr Int kMostQueries = 60;                 // queries of one task: a multiple of kTile
constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();
static_assert(kMostTile >= kTile && kMostTile % kLanes == 0);

struct Query {
  const float* q = nullptr;
  float* out = nullptr;
  Int position = 0, limit = 0;  // sees the keys [first, limit)
  Int first = 0, alibi_from = 0;
  float scale = 1;
  float slope = 0, bias = 0;        // bias(head, position) when rounded
  float most = kLowest, total = 0;  // running maximum and sum; finite, so that a score of -infinity weighs 0
  float sink = kNever;
};

float alibi_bias(const Attend& a, float slope, Int j) {
  if (!a.alibi_bf16) return 0;
  return to_float(to_bf16(slope * static_cast<float>(j)));
}

// Keys or values of one block and kv head.
template <class T>
const T* keys_of(const Sequence& s, const PastLayer& layer, Int block, Int head) {
  return reinterpret_cast<const T*>(s.blocks[block] + layer.key(head, 0));
}
template <class T>
const T* values_of(const Sequence& s, const PastLayer& layer, Int block, Int head) {
  return reinterpret_cast<const T*>(s.blocks[block] + layer.value(head, 0));
}

// Fetches what lies at p into the second cache: the lines that are read meanwhile must get into the first one. Nothing
// when p is null.
template <class T>
HWY_INLINE void fetch_row(const T* p, Int count) {
  if (p == nullptr) return;
  for (Int i = 0; i < count; i += static_cast<Int>(64 / sizeof(T))) __builtin_prefetch(p + i, 0, 2);
}

// Vectors of keys or values that T queries multiply at once: sums enough to hide how long a multiply-add takes, and no
// more than there are registers for.
constexpr int vectors_at_once(int queries) { return queries == 1 ? 8 : kRegisters == 32 || queries == 2 ? 4 : 2; }

// scores[t][j] = q[t] . key[j] for the block's keys up to `reach`, and some beyond. `next`: keys to fetch on the way,
// in the order of memory, or null.
template <int T, int S, class K>
HWY_INLINE void dot_keys(const Query* queries, const K* keys, const K* next, Int dim, Int reach,
                         float (*scores)[kBlockTokens]) {
  const Floats d;
  for (Int j = 0; j < reach; j += S * kLanes) {
    Vec sums[T][S];
    for (auto& t : sums) {
      for (Vec& s : t) s = hn::Zero(d);
    }
    for (Int i = 0; i < dim; ++i) {
      Vec k[S];
      for (int s = 0; s < S; ++s) k[s] = widen(d, keys + i * kBlockTokens + j + s * kLanes);
      fetch_row(next, S * kLanes);
      if (next != nullptr) next += S * kLanes;
      for (int t = 0; t < T; ++t) {
        const Vec q = hn::Set(d, queries[t].q[i]);
        for (int s = 0; s < S; ++s) sums[t][s] = hn::MulAdd(q, k[s], sums[t][s]);
      }
    }
    for (int t = 0; t < T; ++t) {
      for (int s = 0; s < S; ++s) hn::Store(sums[t][s], d, scores[t] + j + s * kLanes);
    }
  }
}

// Scale, bias and mask; lane by lane the maximum.
HWY_NOINLINE Vec finish_scores(const Attend& a, const Query& q, Int first, Int reach, float* scores) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const Vec scale = hn::Set(d, q.scale), never = hn::Set(d, kNever);
  Vec most = never;
  if (!a.slopes && a.cap == 0 && q.first <= first && first + kBlockTokens <= q.limit) {  // most blocks
    for (Int j = 0; j < kBlockTokens; j += kLanes) {
      const Vec s = hn::Mul(hn::Load(d, scores + j), scale);
      hn::Store(s, d, scores + j);
      most = hn::Max(most, s);
    }
    return most;
  }
  for (Int j = 0; j < reach; j += kLanes) {
    const auto key = hn::Iota(di, static_cast<std::int32_t>(first + j));
    Vec s = hn::Mul(hn::Load(d, scores + j), scale);
    if (a.slopes) {
      Vec bias;
      auto at = key;
      if (q.alibi_from > first) at = hn::Max(at, hn::Set(di, static_cast<std::int32_t>(q.alibi_from)));
      if (a.alibi_bf16) {
        const auto bits = hn::BitCast(di, hn::Mul(hn::Set(d, q.slope), hn::ConvertTo(d, at)));
        const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(di, 1));
        const auto rounded = hn::Add(hn::Add(bits, hn::Set(di, 0x7fff)), odd);
        bias = hn::Sub(hn::BitCast(d, hn::And(rounded, hn::Set(di, static_cast<std::int32_t>(0xffff0000u)))),
                       hn::Set(d, q.bias));
      } else {
        const auto away = hn::Sub(at, hn::Set(di, static_cast<std::int32_t>(q.position)));
        bias = hn::Mul(hn::Set(d, q.slope), hn::ConvertTo(d, away));
      }
      s = hn::MulAdd(hn::Set(d, a.alibi_scale), bias, s);
    }
    if (a.cap > 0) s = hn::Mul(hn::Set(d, a.cap), tanh_lanes(hn::Div(s, hn::Set(d, a.cap))));
    if (first + j + kLanes > q.limit) {
      const auto seen = hn::Lt(key, hn::Set(di, static_cast<std::int32_t>(q.limit)));
      s = hn::IfThenElse(hn::RebindMask(d, seen), s, never);
    }
    if (q.first > first + j) {
      const auto hidden = hn::Lt(key, hn::Set(di, static_cast<std::int32_t>(q.first)));
      s = hn::IfThenElse(hn::RebindMask(d, hidden), never, s);
    }
    hn::Store(s, d, scores + j);
    most = hn::Max(most, s);
  }
  return most;
}

// Weights e^(score - maximum) of the block's keys up to `reach` in place of their scores, exactly 0 beyond a query's
// limit; the running maxima and sums; factors[t], by which what a query has so far is to be multiplied, 1 where its
// maximum stays. One step of all queries after the other: a step of one query waits for itself, and the next one's
// fills the gaps.
template <int T>
HWY_INLINE void weigh(const Attend& a, Query* queries, Int first, Int reach, float (*scores)[kBlockTokens],
                      float (&factors)[kMostTile]) {
  const Floats d;
  float most[T];
  for (int t = 0; t < T; ++t) {
    most[t] = hn::GetLane(hn::MaxOfLanes(d, finish_scores(a, queries[t], first, reach, scores[t])));
  }
  for (int t = 0; t < T; ++t) {
    const bool rises = !(most[t] <= queries[t].most);
    factors[t] = rises ? queries[t].most - most[t] : 0;
    queries[t].most = rises ? most[t] : queries[t].most;
  }
  for (int t = 0; t < T; t += static_cast<int>(kLanes)) {
    hn::Store(exp_lanes(hn::Load(d, factors + t)), d, factors + t);
  }
  for (int t = 0; t < T; ++t) {
    const Vec top = hn::Set(d, queries[t].most);
    Vec total = hn::Zero(d);
    for (Int j = 0; j < reach; j += kLanes) {
      const Vec w = exp_lanes(hn::Sub(hn::Load(d, scores[t] + j), top));
      total = hn::Add(total, w);
      hn::Store(w, d, scores[t] + j);
    }
    queries[t].total = queries[t].total * factors[t] + hn::GetLane(hn::SumOfLanes(d, total));
  }
}

// out[t] = factors[t] * out[t] + weights[t][j] * value[j] for the keys j in [from, to), G vectors of `d` from dimension
// i on.
template <int T, int G, class D, class V>
HWY_INLINE void add_values(D d, const Query* queries, const float* factors, const V* values, const V*& next, Int dim,
                           Int i, Int from, Int to, const float (*weights)[kBlockTokens]) {
  constexpr Int n = static_cast<Int>(hn::MaxLanes(D()));
  hn::Vec<D> sums[T][G];
  for (int t = 0; t < T; ++t) {
    const auto factor = hn::Set(d, factors[t]);
    for (int g = 0; g < G; ++g) sums[t][g] = hn::Mul(hn::LoadU(d, queries[t].out + i + g * n), factor);
  }
  for (Int j = from; j < to; ++j) {
    hn::Vec<D> v[G];
    for (int g = 0; g < G; ++g) v[g] = widen(d, values + j * dim + i + g * n);
    fetch_row(next, G * n);
    if (next != nullptr) next += G * n;
    for (int t = 0; t < T; ++t) {
      const auto w = hn::Set(d, weights[t][j]);
      for (int g = 0; g < G; ++g) sums[t][g] = hn::MulAdd(w, v[g], sums[t][g]);
    }
  }
  for (int t = 0; t < T; ++t) {
    for (int g = 0; g < G; ++g) hn::StoreU(sums[t][g], d, queries[t].out + i + g * n);
  }
}

// The same for every dimension from `i` on: G vectors at a time, then fewer, then parts of one. `next`: values to fetch
// on the way, or null.
template <int T, int G, class V>
HWY_INLINE void add_all_values(const Query* queries, const float* factors, const V* values, const V* next, Int dim,
                               Int i, Int from, Int to, const float (*weights)[kBlockTokens]) {
  for (; i + G * kLanes <= dim; i += G * kLanes)
    add_values<T, G>(Floats(), queries, factors, values, next, dim, i, from, to, weights);
  if constexpr (G > 1) {
    add_all_values<T, G / 2>(queries, factors, values, next, dim, i, from, to, weights);
  } else {
    for_lanes(dim - i, [&](auto d, Int more) HWY_ATTR {
      add_values<T, 1>(d, queries, factors, values, next, dim, i + more, from, to, weights);
    });
  }
}

// One block for T queries that all see at least its first key. `ahead`: fetch the next block on the way.
template <int T, class E>
HWY_NOINLINE void visit(const Attend& a, const Sequence& s, Query* queries, Int head, Int block, bool ahead) {
  const Int dim = a.q[3], first = block * kBlockTokens;
  alignas(64) float scores[T][kBlockTokens];
  alignas(64) float factors[kMostTile] = {};
  const E* next_keys = ahead ? keys_of<E>(s, a.layer, block + 1, head) : nullptr;
  const E* next_values = ahead ? values_of<E>(s, a.layer, block + 1, head) : nullptr;
  constexpr int kVectors = static_cast<int>(kBlockTokens / kLanes);
  constexpr int kGroup = vectors_at_once(T), kStrip = std::min(kVectors, kGroup);
  // Limits and first keys do not fall from query to query. Keys outside weigh 0, and adding 0 changes no bit.
  const Int reach = std::min(kBlockTokens, queries[T - 1].limit - first);
  const Int shared = std::min(kBlockTokens, queries[0].limit - first);
  const Int begin = std::clamp<Int>(queries[T - 1].first - first, 0, shared);
  dot_keys<T, kStrip>(queries, keys_of<E>(s, a.layer, block, head), next_keys, dim, reach, scores);
  weigh<T>(a, queries, first, reach, scores, factors);
  const E* values = values_of<E>(s, a.layer, block, head);
  const E* none = nullptr;
  if (queries[0].first - first < begin) {
    for (int t = 0; t < T; ++t) {
      const Int own = std::max<Int>(queries[t].first - first, 0);
      if (own >= begin) continue;
      add_all_values<1, kGroup>(queries + t, factors + t, values, none, dim, 0, own, begin, scores + t);
      factors[t] = 1;
    }
  }
  add_all_values<T, kGroup>(queries, factors, values, next_values, dim, 0, begin, shared, scores);
  if constexpr (T > 1) {
    for (int t = 0; t < T; ++t) {
      const Int end = std::min(kBlockTokens, queries[t].limit - first);
      const Int from = std::max(shared, queries[t].first - first);
      const float as_it_is = 1;
      if (end > from) add_all_values<1, kGroup>(queries + t, &as_it_is, values, none, dim, 0, from, end, scores + t);
    }
  }
}

// One block for `count` queries that all see at least its first key, T at a time, then fewer.
template <int T, class E>
HWY_INLINE void visit_all(const Attend& a, const Sequence& s, Query* queries, Int count, Int head, Int block,
                          bool ahead) {
  for (; count >= T; queries += T, count -= T, ahead = false) visit<T, E>(a, s, queries, head, block, ahead);
  if constexpr (T > 1) visit_all<(T > 4 ? 4 : T - 1), E>(a, s, queries, count, head, block, ahead);
}

// A task: queries [begin, end) of one sequence and kv head, counted row by row, then by head of the group.
struct Share {
  const Sequence* sequence;
  Int head, begin, end;
};

template <class E>
HWY_NOINLINE void attend_share(const Attend& a, const Share& share) {
  const Sequence& s = *share.sequence;
  const Int per_group = a.q[2], dim = a.q[3], count = share.end - share.begin;
  Query queries[kMostQueries];
  for (Int i = 0; i < count; ++i) {
    const Int r = (share.begin + i) / per_group, h = (share.begin + i) % per_group;
    const Int head = share.head * per_group + h;
    Query& q = queries[i];
    q.q = row(a.q, s.first_row + r) + share.head * a.q.step(1) + h * a.q.step(2);
    q.out = row(a.out, s.first_row + r) + head * dim;
    q.position = s.past + r;
    q.limit = a.causal ? q.position + 1 : s.past + s.rows;
    q.first = std::max(s.first_key, a.window > 0 ? q.limit - a.window : 0);
    q.scale = a.factors ? a.scale * a.factors.as<const float>()[s.first_row + r] : a.scale;
    q.alibi_from = s.alibi_from;
    q.slope = a.slopes ? a.slopes.as<const float>()[head] : 0;
    if (a.alibi_bf16) q.slope = to_float(to_bf16(q.slope));
    q.bias = alibi_bias(a, q.slope, q.position);
    if (a.sinks) q.sink = a.sinks.as<const float>()[head];
    std::fill(q.out, q.out + dim, 0.f);
  }
  const Int blocks = ceil_div(queries[count - 1].limit, kBlockTokens);
  Int i = 0, end = 0;  // queries [i, end) see keys of a block: limits and first keys do not fall from query to query
  for (Int b = queries[0].first / kBlockTokens; b < blocks; ++b) {
    while (queries[i].limit <= b * kBlockTokens) ++i;
    while (end < count && queries[end].first < (b + 1) * kBlockTokens) ++end;
    visit_all<kTile, E>(a, s, queries + i, end - i, share.head, b, count <= kTile && b + 1 < blocks);
  }
  for (i = 0; i < count; ++i) {
    const Query& q = queries[i];
    float inverse = 1 / q.total;
    if (q.sink > kNever) {
      const float most = std::max(q.most, q.sink), own = std::exp(q.most - most);
      inverse = own / (q.total * own + std::exp(q.sink - most));
    }
    for_lanes(dim, [&](auto d, Int k) HWY_ATTR {
      hn::StoreU(hn::Mul(hn::LoadU(d, queries[i].out + k), hn::Set(d, inverse)), d, queries[i].out + k);
    });
  }
}

void attend_here(WorkerPool& pool, const Attend& a) {
  const Int kv_heads = a.q[1], per_group = a.q[2];
  const std::span<const Sequence> sequences = host::sequences(a.batch);
  Int queries = 0;
  for (const Sequence& s : sequences) queries += s.rows * per_group * kv_heads;
  // Enough tasks to share out evenly; how queries are grouped does not change their bits.
  const Int even = ceil_div(ceil_div(queries, Int{4} * pool.threads()), kTile) * kTile;
  Int grain = std::clamp<Int>(even, kTile, kMostQueries);
  const auto shares_of = [&](const Sequence& s) { return ceil_div(s.rows * per_group, grain) * kv_heads; };
  const auto all_shares = [&] {
    Int shares = 0;
    for (const Sequence& s : sequences) shares += shares_of(s);
    return shares;
  };
  Int tasks = all_shares(), keys = 0;
  if (tasks < pool.threads()) {  // few heads of keys, and not for each thread one: queries of one are taken apart
    const Int parts = ceil_div(pool.threads(), kv_heads * std::max<Int>(1, std::ssize(sequences)));
    grain = std::clamp<Int>(ceil_div(a.batch.most_rows * per_group, parts), 1, grain);
    tasks = all_shares();
  }
  for (const Sequence& s : sequences) keys += s.past + s.rows;
  spread(pool, tasks, queries * a.q[3] * keys / std::max<Int>(1, static_cast<Int>(sequences.size())),
         [&](Int i) noexcept {
           const Sequence* s = sequences.data();
           for (; i >= shares_of(*s); ++s) i -= shares_of(*s);
           const Int per_head = shares_of(*s) / kv_heads, begin = i % per_head * grain;
           const Share share{s, i / per_head, begin, std::min(begin + grain, s->rows * per_group)};
           if (a.layer.dtype == DType::f16) {
             attend_share<f16>(a, share);
           } else if (a.layer.dtype == DType::bf16) {
             attend_share<bf16>(a, share);
           } else {
             attend_share<float>(a, share);
           }
         });
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(attend_here);
}
void attend(Device& device, const Attend& a) noexcept { HWY_DYNAMIC_DISPATCH(attend_here)(host::pool_of(device), a); }
}  // namespace pkv::kernels::cpu
#endif
