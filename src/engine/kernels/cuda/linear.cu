// Products with weights of 16 bits, by the matrix unit, and of 32 bits. What each element is, to the bit, is in
// law/linear.h; how it is shared out here changes nothing of that.
#include <algorithm>

#include "engine/kernels/cuda/card.cuh"
#include "engine/kernels/cuda/device.cuh"
#include "engine/kernels/cuda/product.cuh"
#include "engine/kernels/law/linear.h"
#include "engine/kernels/law/packed.h"

namespace pkv::kernels::cuda {
namespace {

// ---- activations as halves

// One block a row.
__global__ void __launch_bounds__(256) split_kernel(Split to, const float* x, std::int64_t step, std::int64_t rows) {
  __shared__ std::uint32_t of_warps[8];
  wait_for_operands();
  const std::int64_t r = blockIdx.x;
  const int t = static_cast<int>(threadIdx.x);
  const bool there = r < rows;
  const float* row = x + r * step;
  std::uint32_t most = 0;
  if (there) {
    for (std::int64_t k = t; k < to.in; k += 256) most = max(most, law::finite_magnitude(row[k]));
  }
  most = warp_max(most);
  if (t % 32 == 0) of_warps[t / 32] = most;
  __syncthreads();
  for (int i = 0; i < 8; ++i) most = max(most, of_warps[i]);
  const std::int32_t exponent = law::row_exponent(most);
  const float scale = law::power_of_two(exponent);
  if (t == 0) to.scales[r] = law::power_of_two(-exponent);
  for (std::int64_t c = t; c < to.chunks; c += 256) {
    std::uint32_t hi[4], lo[4];
    for (int i = 0; i < 4; ++i) {
      hi[i] = lo[i] = 0;
      for (int j = 0; j < 2; ++j) {
        const std::int64_t k = 8 * c + 2 * i + j;
        if (!there || k >= to.in) continue;
        const law::Halves h = law::split(row[k] * scale);
        hi[i] |= static_cast<std::uint32_t>(h.hi) << 16 * j;
        lo[i] |= static_cast<std::uint32_t>(h.lo) << 16 * j;
      }
    }
    *reinterpret_cast<uint4*>(to.at(c, 0, r)) = make_uint4(hi[0], hi[1], hi[2], hi[3]);
    *reinterpret_cast<uint4*>(to.at(c, 1, r)) = make_uint4(lo[0], lo[1], lo[2], lo[3]);
  }
}

// ---- few rows

// A block has 16 outputs and 8 kGroups rows; its warps share the segments of K. Weights are asked for before what the
// kernels before this one write is waited for.
template <int kGroups>
__device__ __forceinline__ void few(const Product& p, std::int64_t first_row, bool waits) {
  extern __shared__ float parts[];  // [segments, 16, 8 kGroups]
  constexpr int kColumns = 8 * kGroups, kBatch = 8;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4, t = lane % 4;
  const std::int64_t tile = blockIdx.x;
  const auto steps = static_cast<int>(p.shape.k_tiles());
  const auto steps_of_segment = static_cast<int>(law::segment_of(p.shape.in) / law::kStep);
  const int segments = (steps + steps_of_segment - 1) / steps_of_segment;
  const uint4* weights = reinterpret_cast<const uint4*>(p.weights) + tile * steps * 32 + lane;
  uint4 a[kBatch];
  const auto load = [&](int from, int end) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      a[i] = make_uint4(0, 0, 0, 0);
      if (from + i < end) a[i] = __ldcs(weights + (from + i) * 32);
    }
  };
  int segment = warp;
  if (segment < segments) load(segment * steps_of_segment, min(steps, (segment + 1) * steps_of_segment));
  if (waits) wait_for_operands();
  for (; segment < segments; segment += 8) {
    float hi[kGroups][4] = {}, lo[kGroups][4] = {};
    const int end = min(steps, (segment + 1) * steps_of_segment);
    for (int from = segment * steps_of_segment; from < end; from += kBatch) {
      if (from != warp * steps_of_segment) load(from, end);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (from + i >= end) break;
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
          const std::int64_t r = first_row + 8 * n + g;
          std::uint32_t b[4] = {};
          if (r < p.rows) {
#pragma unroll
            for (int j = 0; j < 2; ++j) {
              const std::int64_t chunk = 2 * (from + i) + j;
              b[j] = *reinterpret_cast<const std::uint32_t*>(p.split.at(chunk, 0, r) + 2 * t);
              b[2 + j] = *reinterpret_cast<const std::uint32_t*>(p.split.at(chunk, 1, r) + 2 * t);
            }
          }
          mma_halves(hi[n], a[i], b[0], b[1]);
          mma_halves(lo[n], a[i], b[2], b[3]);
        }
      }
    }
    float* part = parts + segment * 16 * kColumns;
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        part[(g + 8 * (i / 2)) * kColumns + 8 * n + 2 * t + i % 2] = law::joined(hi[n][i], lo[n][i]);
      }
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < 16 * kColumns; i += 256) {
    const int o = i % 16, c = i / 16;
    const std::int64_t output = 16 * tile + o, r = first_row + c;
    if (output >= p.shape.outs || r >= p.rows) continue;
    float sum = 0;
    for (int s = 0; s < segments; ++s) sum = sum + parts[s * 16 * kColumns + o * kColumns + c];
    p.finish(r, output, sum);
  }
}

template <int kGroups>
__global__ void __launch_bounds__(256) few_kernel(Product p, std::int64_t first_row) {
  few<kGroups>(p, first_row, true);
}

// By the matrix of each pair's expert.
__global__ void __launch_bounds__(256) few_of_experts_kernel(Product p, Experts experts) {
  wait_for_operands();
  const Experts::One one = experts.of(blockIdx.y);
  p.weights = static_cast<const std::byte*>(one.weights);
  if (p.end.of.bias != nullptr) p.end.of.bias += static_cast<std::int64_t>(blockIdx.y) * p.shape.outs;
  p.rows = one.end;
  for (std::int64_t first = one.first; first < one.end; first += 8) {
    few<1>(p, first, false);
    __syncthreads();
  }
}

constexpr std::int64_t kFewRows = 48;

void multiply_halves(Card& card, const Linear& a, const Experts* experts) noexcept {
  const std::int64_t rows = a.x[0], in = a.x[1];
  const bool many = rows > kFewRows && experts == nullptr;
  const std::int64_t tile = many ? kManyRows : 8;
  Product p{.shape = {a.weight[0], in},
            .weights = a.weight.as<const std::byte>(),
            .bf16 = a.weight.dtype == DType::bf16,
            .rows = rows,
            .split = {.in = in,
                      .rows = (rows + tile - 1) / tile * tile,
                      .tile = tile,
                      .chunks = many ? many_chunks(in) : (in + 15) / 16 * 2},
            .x = a.x.as<const float>(),
            .x_step = a.x.step(0),
            .end = ending_of(a)};
  auto* scratch = static_cast<std::byte*>(card.scratch(p.split.bytes()));
  if (scratch == nullptr) return;
  p.split.in_memory(scratch);
  launch(card, "linear: halves", split_kernel, static_cast<unsigned>(p.split.rows), 256, 0, p.split, p.x, p.x_step,
         rows);
  if (many) return multiply_many(card, p);
  const std::int64_t segments = (in + law::segment_of(in) - 1) / law::segment_of(in);
  const auto tiles = static_cast<unsigned>(p.shape.m_tiles());
  const auto shared = static_cast<std::size_t>(segments) * 16 * 8 * sizeof(float);
  if (experts != nullptr) {
    launch(card, "linear of experts", few_of_experts_kernel, dim3(tiles, experts->count), 256, shared, p, *experts);
    return;
  }
  for (std::int64_t first = 0; first < rows;) {
    if (rows - first > 8 && 2 * shared <= 200 * 1024) {
      launch(card, "linear", few_kernel<2>, tiles, 256, 2 * shared, p, first);
      first += 16;
    } else {
      launch(card, "linear", few_kernel<1>, tiles, 256, shared, p, first);
      first += 8;
    }
  }
}

// ---- fp32

// A warp has 4 outputs and up to kRows rows.
template <int kRows>
__device__ __forceinline__ void floats(const Plain& p, std::int64_t first_row) {
  constexpr int kOuts = 4;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t first_out = (static_cast<std::int64_t>(blockIdx.x) * 8 + threadIdx.x / 32) * kOuts;
  if (first_out >= p.outs) return;
  float sum[kRows][kOuts] = {};
  for (std::int64_t piece = 0; piece < p.in; piece += law::kPiece) {
    float chain[kRows][kOuts] = {};
    const std::int64_t end = min(p.in, piece + law::kPiece);
    for (std::int64_t k = piece + 4 * lane; k < end; k += law::kStride) {
      float w[kOuts][4];
      const int count = static_cast<int>(min(std::int64_t{4}, end - k));
#pragma unroll
      for (int o = 0; o < kOuts; ++o) p.weights_of(min(first_out + o, p.outs - 1), k, count, w[o]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float x[4];
        p.row_of(min(first_row + r, p.rows - 1), k, count, x);
#pragma unroll
        for (int o = 0; o < kOuts; ++o) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            if (i < count) chain[r][o] = law::fma(x[i], w[o][i], chain[r][o]);
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int o = 0; o < kOuts; ++o) sum[r][o] = sum[r][o] + warp_sum(chain[r][o]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int o = 0; o < kOuts; ++o) {
      if (lane == (r * kOuts + o) % 32 && first_row + r < p.rows && first_out + o < p.outs) {
        p.end.store(first_row + r, first_out + o, sum[r][o]);
      }
    }
  }
}

template <int kRows>
__global__ void __launch_bounds__(256) floats_kernel(Plain p) {
  wait_for_operands();
  floats<kRows>(p, static_cast<std::int64_t>(blockIdx.y) * kRows);
}

__global__ void __launch_bounds__(256) floats_of_experts_kernel(Plain p, Experts experts) {
  wait_for_operands();
  const Experts::One one = experts.of(blockIdx.y);
  if (p.weights != nullptr) {
    p.weights = static_cast<const float*>(one.weights);
  } else {
    p.matrix.codes = static_cast<const std::uint8_t*>(one.weights);
    p.matrix.scales = static_cast<const float*>(one.scales);
  }
  if (p.end.of.bias != nullptr) p.end.of.bias += static_cast<std::int64_t>(blockIdx.y) * p.outs;
  p.rows = one.end;
  for (std::int64_t first = one.first; first < one.end; first += 4) floats<4>(p, first);
}

}  // namespace

void multiply_plain(Card& card, const Plain& p, const Experts* experts) noexcept {
  const unsigned outs = blocks_for(p.outs, 32);
  if (experts != nullptr) {
    return launch(card, "linear of experts", floats_of_experts_kernel, dim3(outs, experts->count), 256, 0, p, *experts);
  }
  if (p.rows <= 1) {
    launch(card, "linear", floats_kernel<1>, dim3(outs, static_cast<unsigned>(p.rows)), 256, 0, p);
  } else if (p.rows <= 4) {
    launch(card, "linear", floats_kernel<4>, dim3(outs, 1), 256, 0, p);
  } else {
    launch(card, "linear", floats_kernel<8>, dim3(outs, blocks_for(p.rows, 8)), 256, 0, p);
  }
}

Ending ending_of(const Linear& a) {
  return {.of = {a.bias.as<const float>(), a.clip, a.act},
          .out = a.out.as<float>(),
          .out_step = a.out.step(0),
          .add = a.add.as<const float>(),
          .add_step = a.add.rank > 1 ? a.add.step(0) : 0};
}

namespace {

void multiply(Card& card, const Linear& a, const Experts* experts) noexcept {
  if (a.x[0] == 0) return;
  const auto turn = card.turn();
  if (a.quantized) return multiply_quantized(card, a, experts);
  if (a.weight.dtype != DType::f32) return multiply_halves(card, a, experts);
  const auto lies = [](const View& v) { return reinterpret_cast<std::uintptr_t>(v.data) % 16 == 0; };
  const bool vectors = a.x[1] % 4 == 0 && a.x.step(0) % 4 == 0 && lies(a.x) && lies(a.weight);
  multiply_plain(card,
                 {.outs = a.weight[0],
                  .in = a.x[1],
                  .rows = a.x[0],
                  .weights = a.weight.as<const float>(),
                  .matrix = {},
                  .x = a.x.as<const float>(),
                  .x_step = a.x.step(0),
                  .vectors = vectors,
                  .end = ending_of(a)},
                 experts);
}

}  // namespace

void linear(Device& device, const Linear& a) noexcept { multiply(of(device), a, nullptr); }

void expert_linear(Device& device, const ExpertLinear& a) noexcept {
  const Experts experts{a.starts.as<const std::int32_t>(), a.addresses.as<const std::int64_t>(),
                        static_cast<unsigned>(a.starts[0] - 1)};
  multiply(of(device), a.pairs, &experts);
}

// ---- packing

namespace {

// One block an output: what a bf16 row is scaled by, and how many of its weights are kept apart.
__global__ void __launch_bounds__(256)
    measure_kernel(const std::uint16_t* from, law::Packed shape, std::byte* to, std::int32_t* kept) {
  __shared__ std::uint32_t of_warps[8];
  __shared__ int count;
  wait_for_operands();
  const std::int64_t o = blockIdx.x;
  const int t = static_cast<int>(threadIdx.x);
  const bool there = o < shape.outs;
  const std::uint16_t* row = from + o * shape.in;
  std::uint32_t most = 0;
  if (t == 0) count = 0;
  if (there) {
    for (std::int64_t k = t; k < shape.in; k += 256) {
      most = max(most, law::finite_magnitude(law::float_of_bf16(row[k])));
    }
  }
  most = warp_max(most);
  if (t % 32 == 0) of_warps[t / 32] = most;
  __syncthreads();
  for (int i = 0; i < 8; ++i) most = max(most, of_warps[i]);
  const std::int32_t exponent = law::weight_exponent(most);
  const float scale = law::power_of_two(exponent);
  if (there) {
    int mine = 0;
    for (std::int64_t k = t; k < shape.in; k += 256) mine += law::weight_of_bf16(row[k], scale).lost ? 1 : 0;
    if (mine > 0) atomicAdd(&count, mine);
  }
  __syncthreads();
  if (t != 0) return;
  reinterpret_cast<float*>(to + shape.scales())[o] = law::power_of_two(-exponent);
  kept[o] = count;
}

// A thread a pair of weights, in the order of the packed matrix. What is kept apart is written by `apart_kernel`.
__global__ void __launch_bounds__(256)
    tiles_kernel(const std::uint16_t* from, law::Packed shape, bool bf16, std::byte* to) {
  wait_for_operands();
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (i >= shape.m_tiles() * shape.k_tiles() * 128) return;
  const std::int64_t tile = i / 128;
  const int lane = static_cast<int>(i % 128 / 4), part = static_cast<int>(i % 4);
  const std::int64_t o = tile / shape.k_tiles() * 16 + lane / 4 + 8 * (part % 2);
  const std::int64_t k = tile % shape.k_tiles() * 16 + lane % 4 * 2 + 8 * (part / 2);
  std::uint32_t pair = 0;
  if (o < shape.outs) {
    const float scale = bf16 ? 1.f / reinterpret_cast<const float*>(to + shape.scales())[o] : 1.f;
    for (int j = 0; j < 2 && k + j < shape.in; ++j) {
      const std::uint16_t w = from[o * shape.in + k + j];
      pair |= static_cast<std::uint32_t>(bf16 ? law::weight_of_bf16(w, scale).half : w) << 16 * j;
    }
  }
  reinterpret_cast<std::uint32_t*>(to)[i] = pair;
}

// A warp an output that has weights kept apart.
__global__ void __launch_bounds__(32) apart_kernel(const std::uint16_t* from, law::Packed shape, std::byte* to) {
  wait_for_operands();
  const std::int64_t o = blockIdx.x;
  const auto* offsets = reinterpret_cast<const std::int32_t*>(to + shape.offsets());
  auto* apart = reinterpret_cast<law::Apart*>(to + shape.apart());
  std::int32_t at = offsets[o];
  if (at == offsets[o + 1]) return;
  const float scale = 1.f / reinterpret_cast<const float*>(to + shape.scales())[o];
  for (std::int64_t first = 0; first < shape.in; first += 32) {
    const std::int64_t k = first + threadIdx.x;
    const std::uint16_t w = k < shape.in ? from[o * shape.in + k] : std::uint16_t{0};
    const bool lost = k < shape.in && law::weight_of_bf16(w, scale).lost;
    const unsigned all = __ballot_sync(0xffffffffu, lost);
    if (lost) {
      apart[at + __popc(all & ((1u << threadIdx.x) - 1))] = {static_cast<std::int32_t>(k), law::float_of_bf16(w)};
    }
    at += __popc(all);
  }
}

}  // namespace

void* pack(Device& device, View& matrix) noexcept try {
  if (matrix.dtype == DType::f32) return nullptr;
  Card& card = of(device);
  const law::Packed shape{matrix[0], matrix[1]};
  const bool bf16 = matrix.dtype == DType::bf16;
  const auto* from = matrix.as<const std::uint16_t>();
  const auto outs = static_cast<std::size_t>(shape.m_tiles() * law::kTile);
  card.stream();
  auto* memory = static_cast<std::byte*>(card.slabs.take(static_cast<std::size_t>(shape.bytes(bf16, 0))));
  const auto tiles = [&](std::byte* to) {
    launch(card, "pack", tiles_kernel, blocks_for(shape.m_tiles() * shape.k_tiles() * 128, 256), 256, 0, from, shape,
           bf16, to);
  };
  if (bf16 && memory != nullptr) {
    auto* kept = reinterpret_cast<std::int32_t*>(memory + shape.offsets());
    launch(card, "pack", measure_kernel, static_cast<unsigned>(outs), 256, 0, from, shape, memory, kept);
    std::vector<std::int32_t> counts(outs + 1);
    card.download(counts.data(), kept, outs * sizeof(std::int32_t));
    std::int32_t all = 0;
    for (std::int32_t& count : counts) count = std::exchange(all, all + count);
    if (all > 0) {
      auto* larger = static_cast<std::byte*>(card.slabs.take(static_cast<std::size_t>(shape.bytes(true, all))));
      if (larger != nullptr) card.copy(larger + shape.scales(), memory + shape.scales(), outs * sizeof(float));
      card.slabs.give(std::exchange(memory, larger));
    }
    if (memory != nullptr) {
      card.upload(memory + shape.offsets(), counts.data(), counts.size() * sizeof(std::int32_t));
      tiles(memory);
      if (all > 0) launch(card, "pack", apart_kernel, static_cast<unsigned>(outs), 32, 0, from, shape, memory);
    }
  } else if (memory != nullptr) {
    tiles(memory);
  }
  matrix.data = memory;
  return memory;
} catch (...) {
  matrix.data = nullptr;
  return nullptr;
}

}  // namespace pkv::kernels::cuda
