// Attention, as law/attend.h defines it. A block of threads has 16 queries of one head of keys (rows times the heads
// that share it) and a segment of the past, or all of its segments one after the other: each of its 4 warps has one
// block of 64 tokens of the segment. What the segments give is folded by a second kernel, or by the same one.
#include <algorithm>

#include "engine/kernels/cuda/card.cuh"
#include "engine/kernels/cuda/device.cuh"
#include "engine/kernels/cuda/product.cuh"
#include "engine/kernels/law/attend.h"

namespace pkv::kernels::cuda {
namespace {

constexpr int kQueries = 16, kWarps = 4, kThreads = 32 * kWarps;
constexpr int kBlock = static_cast<int>(law::kBlock);
static_assert(kWarps == law::kSegmentBlocks && kBlock == kBlockTokens);

struct Attention {
  const float* q = nullptr;
  std::int64_t q_row = 0, q_group = 0, q_head = 0;
  float* out = nullptr;
  std::int64_t out_row = 0;
  const float *slopes = nullptr, *factors = nullptr, *sinks = nullptr;
  const Sequence* sequences = nullptr;
  PastLayer layer;
  float scale = 1, alibi_scale = 1, cap = 0;
  bool alibi_bf16 = false, causal = true;
  std::int64_t window = 0;
  int kv_heads = 1, per_group = 1, dim = 0;
  std::int64_t most_segments = 1;
  float* parts = nullptr;  // [rows, heads, most_segments, 2 + dim]: most, sum, values; null: all segments by one block

  __host__ __device__ int steps() const { return (dim + 15) / 16; }
  __device__ float* part(std::int64_t row, std::int64_t head, std::int64_t segment) const {
    return parts + ((row * kv_heads * per_group + head) * most_segments + segment) * (2 + dim);
  }
};

// One query: a head of a row.
struct Query {
  std::int64_t row = 0;       // of the call; -1: none
  std::int64_t position = 0;  // of its sequence
  law::Seen seen{0, 0};
  law::Slope slope;
  float scale = 1;
  int head = 0;

  __device__ bool sees(std::int64_t j) const { return j >= seen.first && j < seen.limit; }
  __device__ bool visits(std::int64_t block) const {
    return seen.limit > seen.first && block >= seen.first / kBlock && block * kBlock < seen.limit;
  }
};

__device__ Query query_of(const Attention& a, const Sequence& s, int group, std::int64_t index) {
  Query q;
  const std::int64_t r = index / a.per_group;
  q.row = r < s.rows ? s.first_row + r : -1;
  q.head = group * a.per_group + static_cast<int>(index % a.per_group);
  if (q.row < 0) return q;
  q.position = s.past + r;
  q.seen = law::seen_by(q.position, s.past + s.rows, a.causal, a.window, s.first_key);
  if (a.slopes != nullptr) q.slope = law::slope_of(a.slopes[q.head], q.position, a.alibi_bf16);
  q.scale = a.factors != nullptr ? a.scale * a.factors[q.row] : a.scale;
  return q;
}

__device__ float score_of(const Attention& a, const Sequence& s, const Query& q, float dot, std::int64_t j) {
  if (a.slopes == nullptr) return law::score(dot, q.scale, a.cap);
  const float bias = law::bias_of(q.slope, max(j, s.alibi_from), q.position);
  return law::score(dot, q.scale, a.cap, a.alibi_scale, bias);
}

// ---- folding

// A row's sum so far, and whether there is any.
struct State {
  law::Running running;
  bool any;
};

// The factors by which `now` goes into `all`; the first replaces it.
__device__ law::Factors take(State& all, const law::Running& now) {
  if (all.any) return law::fold(all.running, now);
  all = {now, true};
  return {0, 1};
}
__device__ float taken(bool first, float before, float now, law::Factors f) {
  return first ? now : law::folded(before, now, f);
}

// What a query gets: the sink of its head comes last.
__device__ float result(const Attention& a, const Query& q, law::Running all, float value) {
  if (a.sinks != nullptr) {
    const law::Factors f = law::fold(all, law::of_sink(a.sinks[q.head]));
    value = law::folded(value, 0, f);
  }
  return value / all.sum;
}

// One block a query: segments in order.
__global__ void __launch_bounds__(128) fold_kernel(Attention a, std::int64_t count) {
  wait_for_operands();
  const Sequence* s = a.sequences;
  const std::int64_t row = blockIdx.x;
  const int head = static_cast<int>(blockIdx.y);
  while (row < s->first_row || row - s->first_row >= s->rows) {
    if (++s == a.sequences + count) return;
  }
  const Query q = query_of(a, *s, head / a.per_group, (row - s->first_row) * a.per_group + head % a.per_group);
  const std::int64_t first = q.seen.first / kBlock / law::kSegmentBlocks;
  const std::int64_t last = (q.seen.limit - 1) / kBlock / law::kSegmentBlocks;
  for (int d = static_cast<int>(threadIdx.x); d < a.dim; d += 128) {
    State all{{law::kLowest, 0}, false};
    float value = 0;
    for (std::int64_t i = first; i <= last; ++i) {
      const float* part = a.part(row, head, i);
      const bool starts = !all.any;
      const law::Factors f = take(all, {part[0], part[1]});
      value = taken(starts, value, part[2 + d], f);
    }
    a.out[row * a.out_row + static_cast<std::int64_t>(head) * a.dim + d] = result(a, q, all.running, value);
  }
}

// ---- pasts of 16 bits

__device__ __forceinline__ void matrices_turned(const std::uint16_t* row, std::uint32_t (&r)[4]) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at));
}
__device__ __forceinline__ uint4 matrices(const std::uint16_t* row) {
  uint4 r;
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
               : "r"(at));
  return r;
}

// How numbers enter the matrix unit beside a past of fp16, or of bf16.
struct OfHalf {
  static constexpr int kPieces = 2;
  static __device__ void split(float x, std::uint16_t (&to)[kPieces]) {
    const law::Halves h = law::split(x);
    to[0] = h.hi, to[1] = h.lo;
  }
  static __device__ void step(float (&d)[4], const uint4& a, std::uint32_t b0, std::uint32_t b1) {
    mma_halves(d, a, b0, b1);
  }
  static __device__ float joined(const float (&d)[kPieces][4], int i) { return law::joined(d[0][i], d[1][i]); }
};
struct OfBf16 {
  static constexpr int kPieces = 3;
  static __device__ void split(float x, std::uint16_t (&to)[kPieces]) {
    const law::Pieces p = law::split_bf16(x);
    to[0] = p.b[0], to[1] = p.b[1], to[2] = p.b[2];
  }
  static __device__ void step(float (&d)[4], const uint4& a, std::uint32_t b0, std::uint32_t b1) {
    mma_bf16(d, a, b0, b1);
  }
  static __device__ float joined(const float (&d)[kPieces][4], int i) { return law::joined(d[0][i], d[1][i], d[2][i]); }
};

// Shared memory, in elements of 16 bits: the queries' pieces, then for each warp keys [steps 16, 64 + 8] and values
// [64, steps 16 + 8]; afterwards the values of blocks [kWarps, 16, dim] and those of all segments [16, dim], as floats.
struct Room {
  int steps, pieces;
  int regions = kWarps;  // for keys and values; with one the warps take turns

  __host__ __device__ int query_stride() const { return 16 * steps + 8; }
  __host__ __device__ int key_stride() const { return kBlock + 8; }
  __host__ __device__ int value_stride() const { return 16 * steps + 8; }
  __host__ __device__ int queries() const { return pieces * kQueries * query_stride(); }
  __host__ __device__ int of_warp() const { return 16 * steps * key_stride() + kBlock * value_stride(); }
  __host__ __device__ std::size_t sums() const { return 2 * static_cast<std::size_t>(queries() + regions * of_warp()); }
  __host__ __device__ std::size_t bytes() const {
    return sums() + sizeof(float) * static_cast<std::size_t>((kWarps + 1) * kQueries * 16 * steps);
  }
};

constexpr std::size_t kMostShared = 225 * 1024;
__host__ __device__ inline Room room_of(int steps, int pieces) {
  const Room all{steps, pieces};
  return all.bytes() <= kMostShared ? all : Room{steps, pieces, 1};
}

// Rows [from, rows) of a piece of the past into shared memory: `width` elements each, and zeros up to `padded`.
__device__ void load_rows(std::uint16_t* to, int stride, const std::uint16_t* from, int rows, int width, int padded,
                          int lane) {
  if (width % 8 == 0 && reinterpret_cast<std::uintptr_t>(from) % 16 == 0) {
    const int chunks = padded / 8, held = width / 8;
    for (int i = lane; i < rows * chunks; i += 32) {
      const int r = i / chunks, c = i % chunks;
      uint4 v = make_uint4(0, 0, 0, 0);
      if (c < held) v = *reinterpret_cast<const uint4*>(from + static_cast<std::int64_t>(r) * width + 8 * c);
      *reinterpret_cast<uint4*>(to + r * stride + 8 * c) = v;
    }
    return;
  }
  for (int i = lane; i < rows * padded; i += 32) {
    const int r = i / padded, c = i % padded;
    to[r * stride + c] = c < width ? from[static_cast<std::int64_t>(r) * width + c] : std::uint16_t{0};
  }
}

template <class Of>
__global__ void __launch_bounds__(kThreads) attend_kernel(Attention a) {
  constexpr int kPieces = Of::kPieces;
  extern __shared__ __align__(16) std::uint16_t shared[];
  __shared__ Query queries[kQueries];
  __shared__ float query_scales[kQueries];
  __shared__ law::Running of_blocks[kWarps][kQueries];
  __shared__ law::Factors factors[kWarps][kQueries];
  __shared__ std::uint8_t starts[kWarps][kQueries], goes[kWarps][kQueries];
  __shared__ State of_segment[kQueries], of_all[kQueries];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4, t = lane % 4;
  const int group = static_cast<int>(blockIdx.z) % a.kv_heads;
  const int dim = a.dim, steps = a.steps();
  wait_for_operands();
  const Sequence s = a.sequences[blockIdx.z / a.kv_heads];
  const std::int64_t first_query = static_cast<std::int64_t>(blockIdx.x) * kQueries;
  if (first_query >= s.rows * a.per_group) return;
  if (threadIdx.x < kQueries) {
    queries[threadIdx.x] = query_of(a, s, group, first_query + threadIdx.x);
    of_all[threadIdx.x] = {{law::kLowest, 0}, false};
  }
  __syncthreads();
  // What any query of this block sees, and the segments of that.
  std::int64_t from = s.past + s.rows, limit = 0;
  for (const Query& q : queries) {
    if (q.row >= 0 && q.seen.limit > q.seen.first) from = min(from, q.seen.first), limit = max(limit, q.seen.limit);
  }
  constexpr std::int64_t kSegment = kBlock * law::kSegmentBlocks;
  std::int64_t segment = from / kSegment, end_segment = (limit + kSegment - 1) / kSegment;
  if (a.parts != nullptr) {
    if (blockIdx.y < segment || blockIdx.y >= end_segment) return;
    segment = blockIdx.y, end_segment = segment + 1;
  }

  const Room room = room_of(steps, kPieces);
  std::uint16_t* keys = shared + room.queries() + warp % room.regions * room.of_warp();
  std::uint16_t* values = keys + 16 * steps * room.key_stride();
  auto* sums = reinterpret_cast<float*>(reinterpret_cast<std::byte*>(shared) + room.sums());
  float* totals = sums + kWarps * kQueries * 16 * steps;

  // The queries in pieces: each head of a row by its own power of two.
  for (int i = warp; i < kQueries; i += kWarps) {
    const Query& q = queries[i];
    const float* x = a.q + q.row * a.q_row + group * a.q_group + (q.head % a.per_group) * a.q_head;
    std::uint32_t most = 0;
    if (q.row >= 0) {
      for (int d = lane; d < dim; d += 32) most = max(most, law::finite_magnitude(x[d]));
    }
    const std::int32_t exponent = law::row_exponent(warp_max(most));
    const float scale = law::power_of_two(exponent);
    if (lane == 0) query_scales[i] = law::power_of_two(-exponent);
    for (int d = lane; d < 16 * steps; d += 32) {
      std::uint16_t pieces[kPieces] = {};
      if (q.row >= 0 && d < dim) Of::split(x[d] * scale, pieces);
#pragma unroll
      for (int p = 0; p < kPieces; ++p) shared[(p * kQueries + i) * room.query_stride() + d] = pieces[p];
    }
  }
  __syncthreads();
  const Query mine[2] = {queries[g], queries[g + 8]};

  for (; segment < end_segment; ++segment) {
    const std::int64_t block = segment * law::kSegmentBlocks + warp, first = block * kBlock;
    const bool here = first < limit && first + kBlock > from;
    for (int turn = 0; turn < kWarps / room.regions; ++turn) {
      if (turn > 0) __syncthreads();
      if (!here || warp / room.regions != turn) continue;
      const std::byte* memory = s.blocks[block];
      load_rows(keys, room.key_stride(), reinterpret_cast<const std::uint16_t*>(memory + a.layer.key(group, 0)), dim,
                kBlock, kBlock, lane);
      for (int i = lane; i < (16 * steps - dim) * kBlock; i += 32) {
        keys[(dim + i / kBlock) * room.key_stride() + i % kBlock] = 0;
      }
      load_rows(values, room.value_stride(), reinterpret_cast<const std::uint16_t*>(memory + a.layer.value(group, 0)),
                kBlock, dim, 16 * steps, lane);
      __syncwarp();
      // Values that nobody sees may be anything. Those that some see and are no numbers must not reach the others.
      bool careful = false;
      const bool partly = [&] {
        bool all = true;
        for (const Query& q : queries) all &= q.row < 0 || (q.sees(first) && q.sees(first + kBlock - 1));
        return !all;
      }();
      if (partly) {
        for (int j = 0; j < kBlock; ++j) {
          const bool wanted = first + j >= from && first + j < limit;
          for (int d = lane; d < dim; d += 32) {
            std::uint16_t& v = values[j * room.value_stride() + d];
            if (!wanted) v = 0;
            const std::uint16_t exponent = kPieces == 2 ? 0x7c00u : 0x7f80u;
            careful |= (v & exponent) == exponent;
          }
        }
        careful = __any_sync(0xffffffffu, careful);
        __syncwarp();
      }

      float p[8][4];  // scores, then weights: of the tokens 8 n + 2 t + i % 2, of the query g + i / 2 * 8
      for (int n = 0; n < 8; n += 2) {
        float sum[2][kPieces][4] = {};
        for (int k = 0; k < steps; ++k) {
          std::uint32_t b[4];
          matrices_turned(keys + (16 * k + lane % 16) * room.key_stride() + 8 * (n + lane / 16), b);
#pragma unroll
          for (int piece = 0; piece < kPieces; ++piece) {
            const uint4 q =
                matrices(shared + (piece * kQueries + lane % 16) * room.query_stride() + 16 * k + lane / 16 * 8);
            Of::step(sum[0][piece], q, b[0], b[1]);
            Of::step(sum[1][piece], q, b[2], b[3]);
          }
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) p[n][i] = Of::joined(sum[0], i), p[n + 1][i] = Of::joined(sum[1], i);
      }
      float most[2] = {law::kLowest, law::kLowest};
#pragma unroll
      for (int n = 0; n < 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const Query& q = mine[i / 2];
          const std::int64_t j = first + 8 * n + 2 * t + i % 2;
          p[n][i] = score_of(a, s, q, p[n][i] * query_scales[g + i / 2 * 8], j);
          if (q.sees(j)) most[i / 2] = law::larger(most[i / 2], p[n][i]);
        }
      }
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        most[h] = law::larger(most[h], __shfl_xor_sync(0xffffffffu, most[h], 1));
        most[h] = law::larger(most[h], __shfl_xor_sync(0xffffffffu, most[h], 2));
      }
#pragma unroll
      for (int n = 0; n < 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const std::int64_t j = first + 8 * n + 2 * t + i % 2;
          p[n][i] = mine[i / 2].sees(j) ? law::weight_of(p[n][i] - most[i / 2]) : 0.f;
        }
      }
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float u[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int e = 2 * h + i;
          u[i] = ((p[0][e] + p[1][e]) + (p[2][e] + p[3][e])) + ((p[4][e] + p[5][e]) + (p[6][e] + p[7][e]));
        }
        float sum = u[0] + u[1];
        sum = sum + __shfl_xor_sync(0xffffffffu, sum, 1);
        sum = sum + __shfl_xor_sync(0xffffffffu, sum, 2);
        if (t == 0) of_blocks[warp][g + 8 * h] = {most[h], sum};
      }
      uint4 weights[4][kPieces];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        std::uint32_t word[kPieces][4] = {};
#pragma unroll
        for (int w = 0; w < 4; ++w) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            std::uint16_t pieces[kPieces];
            Of::split(p[2 * k + w / 2][w % 2 * 2 + i] * law::kWeightScale, pieces);
#pragma unroll
            for (int piece = 0; piece < kPieces; ++piece) {
              word[piece][w] |= static_cast<std::uint32_t>(pieces[piece]) << 16 * i;
            }
          }
        }
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece) {
          weights[k][piece] = make_uint4(word[piece][0], word[piece][1], word[piece][2], word[piece][3]);
        }
      }
      float* of_warp = sums + warp * kQueries * 16 * steps;
      for (int n = 0; n < 2 * steps; n += 2) {
        float sum[2][kPieces][4] = {};
        if (!careful) {
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            std::uint32_t b[4];
            matrices_turned(values + (16 * k + lane % 16) * room.value_stride() + 8 * (n + lane / 16), b);
#pragma unroll
            for (int piece = 0; piece < kPieces; ++piece) {
              Of::step(sum[0][piece], weights[k][piece], b[0], b[1]);
              Of::step(sum[1][piece], weights[k][piece], b[2], b[3]);
            }
          }
        } else {
          for (int i = 0; i < kQueries; ++i) {
            float one[2][kPieces][4] = {};
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              std::uint32_t b[4];
              matrices_turned(values + (16 * k + lane % 16) * room.value_stride() + 8 * (n + lane / 16), b);
#pragma unroll
              for (int w = 0; w < 4; ++w) {
                const std::int64_t j = first + 16 * k + 8 * (w % 2) + 2 * t;
                if (!queries[i].sees(j)) b[w] &= 0xffff0000u;
                if (!queries[i].sees(j + 1)) b[w] &= 0x0000ffffu;
              }
#pragma unroll
              for (int piece = 0; piece < kPieces; ++piece) {
                Of::step(one[0][piece], weights[k][piece], b[0], b[1]);
                Of::step(one[1][piece], weights[k][piece], b[2], b[3]);
              }
            }
#pragma unroll
            for (int piece = 0; piece < kPieces; ++piece) {
#pragma unroll
              for (int e = 0; e < 4; ++e) {
                if (g + e / 2 * 8 != i) continue;
                sum[0][piece][e] = one[0][piece][e];
                sum[1][piece][e] = one[1][piece][e];
              }
            }
          }
        }
#pragma unroll
        for (int h = 0; h < 2; ++h) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const float value = Of::joined(sum[h], i) * (1 / law::kWeightScale);
            of_warp[(g + i / 2 * 8) * 16 * steps + 8 * (n + h) + 2 * t + i % 2] = value;
          }
        }
      }
    }
    __syncthreads();
    // The blocks of the segment in order, then the segment into all.
    if (threadIdx.x < kQueries) {
      const int i = static_cast<int>(threadIdx.x);
      State state{{law::kLowest, 0}, false};
      for (int w = 0; w < kWarps; ++w) {
        goes[w][i] = queries[i].row >= 0 && queries[i].visits(segment * law::kSegmentBlocks + w);
        if (!goes[w][i]) continue;
        starts[w][i] = !state.any;
        factors[w][i] = take(state, of_blocks[w][i]);
      }
      of_segment[i] = state;
    }
    __syncthreads();
    for (int e = static_cast<int>(threadIdx.x); e < kQueries * dim; e += kThreads) {
      const int i = e / dim, d = e % dim;
      if (!of_segment[i].any) continue;
      float value = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        if (!goes[w][i]) continue;
        value = taken(starts[w][i], value, sums[(w * kQueries + i) * 16 * steps + d], factors[w][i]);
      }
      if (a.parts != nullptr) {
        float* part = a.part(queries[i].row, queries[i].head, segment);
        if (d == 0) part[0] = of_segment[i].running.most, part[1] = of_segment[i].running.sum;
        part[2 + d] = value;
      } else {
        State all = of_all[i];
        float& total = totals[i * 16 * steps + d];
        const bool first_of_all = !all.any;
        const law::Factors f = take(all, of_segment[i].running);
        total = taken(first_of_all, total, value, f);
      }
    }
    __syncthreads();
    if (threadIdx.x < kQueries && of_segment[threadIdx.x].any) {
      take(of_all[threadIdx.x], of_segment[threadIdx.x].running);
    }
    __syncthreads();
  }
  if (a.parts != nullptr) return;
  for (int e = static_cast<int>(threadIdx.x); e < kQueries * dim; e += kThreads) {
    const int i = e / dim, d = e % dim;
    if (queries[i].row < 0) continue;
    a.out[queries[i].row * a.out_row + static_cast<std::int64_t>(queries[i].head) * dim + d] =
        result(a, queries[i], of_all[i].running, totals[i * 16 * steps + d]);
  }
}

// ---- pasts of fp32

// One query a block of threads, a block of the past a warp.
__global__ void __launch_bounds__(kThreads) floats_attend_kernel(Attention a) {
  extern __shared__ float memory[];  // the query, the values of blocks [kWarps, dim], those of all segments
  __shared__ float weights[kWarps][kBlock];
  __shared__ law::Running of_blocks[kWarps];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int group = static_cast<int>(blockIdx.z) % a.kv_heads, dim = a.dim;
  wait_for_operands();
  const Sequence s = a.sequences[blockIdx.z / a.kv_heads];
  if (blockIdx.x >= s.rows * a.per_group) return;
  const Query q = query_of(a, s, group, blockIdx.x);
  float *query = memory, *sums = memory + dim, *total = sums + kWarps * dim;
  const float* x = a.q + q.row * a.q_row + group * a.q_group + (q.head % a.per_group) * a.q_head;
  for (int d = static_cast<int>(threadIdx.x); d < dim; d += kThreads) query[d] = x[d];
  constexpr std::int64_t kSegment = kBlock * law::kSegmentBlocks;
  std::int64_t segment = q.seen.first / kSegment, end_segment = (q.seen.limit + kSegment - 1) / kSegment;
  if (a.parts != nullptr) {
    if (blockIdx.y < segment || blockIdx.y >= end_segment) return;
    segment = blockIdx.y, end_segment = segment + 1;
  }
  __syncthreads();
  State all{{law::kLowest, 0}, false};
  for (; segment < end_segment; ++segment) {
    const std::int64_t block = segment * law::kSegmentBlocks + warp, first = block * kBlock;
    if (q.visits(block)) {
      const auto* keys = reinterpret_cast<const float*>(s.blocks[block] + a.layer.key(group, 0));
      const auto* values = reinterpret_cast<const float*>(s.blocks[block] + a.layer.value(group, 0));
      float dot[2] = {0, 0};
      for (int d = 0; d < dim; ++d) {
        dot[0] = law::fma(query[d], keys[d * kBlock + lane], dot[0]);
        dot[1] = law::fma(query[d], keys[d * kBlock + lane + 32], dot[1]);
      }
      float most = law::kLowest;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const std::int64_t j = first + lane + 32 * h;
        dot[h] = score_of(a, s, q, dot[h], j);
        if (q.sees(j)) most = law::larger(most, dot[h]);
      }
      for (int d = 16; d > 0; d /= 2) most = law::larger(most, __shfl_xor_sync(0xffffffffu, most, d));
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const std::int64_t j = first + lane + 32 * h;
        weights[warp][lane + 32 * h] = q.sees(j) ? law::weight_of(dot[h] - most) : 0.f;
      }
      __syncwarp();
      if (lane == 0) of_blocks[warp] = {most, law::tree_of_block(weights[warp])};
      const int from = static_cast<int>(max(std::int64_t{0}, q.seen.first - first));
      const int to = static_cast<int>(min(std::int64_t{kBlock}, q.seen.limit - first));
      for (int d = lane; d < dim; d += 32) {
        float value = 0;
        for (int j = from; j < to; ++j) value = law::fma(weights[warp][j], values[j * dim + d], value);
        sums[warp * dim + d] = value;
      }
    }
    __syncthreads();
    State of_segment{{law::kLowest, 0}, false};
    law::Factors factors[kWarps];
    bool starts[kWarps], goes[kWarps];
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      goes[w] = q.visits(segment * law::kSegmentBlocks + w);
      starts[w] = !of_segment.any;
      if (goes[w]) factors[w] = take(of_segment, of_blocks[w]);
    }
    const bool first_of_all = !all.any;
    law::Factors f{0, 1};
    if (of_segment.any) f = take(all, of_segment.running);
    for (int d = static_cast<int>(threadIdx.x); d < dim; d += kThreads) {
      float value = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        if (goes[w]) value = taken(starts[w], value, sums[w * dim + d], factors[w]);
      }
      if (a.parts != nullptr) {
        float* part = a.part(q.row, q.head, segment);
        if (d == 0) part[0] = of_segment.running.most, part[1] = of_segment.running.sum;
        part[2 + d] = value;
      } else {
        total[d] = taken(first_of_all, total[d], value, f);
      }
    }
    __syncthreads();
  }
  if (a.parts != nullptr) return;
  for (int d = static_cast<int>(threadIdx.x); d < dim; d += kThreads) {
    a.out[q.row * a.out_row + static_cast<std::int64_t>(q.head) * dim + d] = result(a, q, all.running, total[d]);
  }
}

}  // namespace

void attend(Device& device, const Attend& call) noexcept {
  Card& card = of(device);
  const Batch& batch = call.batch;
  if (batch.rows == 0) return;
  const auto turn = card.turn();
  Attention a{.q = call.q.as<const float>(),
              .q_row = call.q.step(0),
              .q_group = call.q.step(1),
              .q_head = call.q.step(2),
              .out = call.out.as<float>(),
              .out_row = call.out.step(0),
              .slopes = call.slopes.as<const float>(),
              .factors = call.factors.as<const float>(),
              .sinks = call.sinks.as<const float>(),
              .sequences = batch.sequences,
              .layer = call.layer,
              .scale = call.scale,
              .alibi_scale = call.alibi_scale,
              .cap = call.cap,
              .alibi_bf16 = call.alibi_bf16,
              .causal = call.causal,
              .window = call.window,
              .kv_heads = static_cast<int>(call.q[1]),
              .per_group = static_cast<int>(call.q[2]),
              .dim = static_cast<int>(call.q[3])};
  a.most_segments = (batch.most_blocks + law::kSegmentBlocks - 1) / law::kSegmentBlocks;
  const bool wide = call.layer.dtype == DType::f32;
  const int queries = wide ? 1 : kQueries;
  const unsigned tiles = blocks_for(batch.most_rows * a.per_group, queries);
  const auto groups = static_cast<unsigned>(a.kv_heads * batch.count);
  const std::int64_t heads = a.kv_heads * a.per_group;
  // Segments are shared out where there are few queries.
  const bool shared_out = a.most_segments > 1 && static_cast<std::int64_t>(tiles) * groups < 4 * card.multiprocessors();
  if (shared_out) {
    a.parts = static_cast<float*>(
        card.scratch(static_cast<std::size_t>(batch.rows * heads * a.most_segments * (2 + a.dim)) * sizeof(float)));
    if (a.parts == nullptr) return;
  }
  if (!wide && room_of(a.steps(), 3).bytes() > kMostShared) {
    return card.fail("attend: heads of " + std::to_string(a.dim) +
                     " dimensions with a past of 16 bits are too large for this table; --past-dtype fp32");
  }
  const dim3 grid(tiles, shared_out ? static_cast<unsigned>(a.most_segments) : 1, groups);
  if (wide) {
    launch(card, "attend", floats_attend_kernel, grid, kThreads, static_cast<std::size_t>((kWarps + 2) * a.dim) * 4, a);
  } else if (call.layer.dtype == DType::f16) {
    launch(card, "attend", attend_kernel<OfHalf>, grid, kThreads, room_of(a.steps(), 2).bytes(), a);
  } else {
    launch(card, "attend", attend_kernel<OfBf16>, grid, kThreads, room_of(a.steps(), 3).bytes(), a);
  }
  if (shared_out) {
    launch(card, "attend: fold", fold_kernel, dim3(static_cast<unsigned>(batch.rows), static_cast<unsigned>(heads)),
           128, 0, a, batch.count);
  }
}

}  // namespace pkv::kernels::cuda
