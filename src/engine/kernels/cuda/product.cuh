// What kernels of products share.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/kernels/cuda/card.cuh"
#include "engine/kernels/cuda/device.cuh"
#include "engine/kernels/law/linear.h"
#include "engine/kernels/law/packed.h"

namespace pkv::kernels::cuda {

// d = a b + d, a step of the matrix unit: a [16, 16] as a packed matrix has it, b [16, 8].
__device__ __forceinline__ void mma_halves(float (&d)[4], const uint4& a, std::uint32_t b0, std::uint32_t b1) {
  // A packed tile has the outputs g, g + 8 beside each other for the first inputs, then for the last ones.
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint4& a, std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

// Rows of activations as halves, in tiles of `tile` rows: [tiles, chunks of 8 inputs, (hi, lo), tile, 8], and what each
// row's sums are multiplied by. Eight rows of a chunk are what both matrix instructions read at once. What lies beyond
// the rows and the inputs is 0.
struct Split {
  std::int64_t in = 0, rows = 0;  // rows: a multiple of `tile`
  std::int64_t tile = 8;
  std::int64_t chunks = 0;  // as many as a kernel reads, at least those of all steps
  std::uint16_t* halves = nullptr;
  float* scales = nullptr;

  __device__ std::uint16_t* at(std::int64_t chunk, int half, std::int64_t row) const {
    return halves + (((row / tile * chunks + chunk) * 2 + half) * tile + row % tile) * 8;
  }
  std::size_t bytes() const { return static_cast<std::size_t>(chunks * rows * 32 + rows * 4); }
  void in_memory(std::byte* memory) {
    halves = reinterpret_cast<std::uint16_t*>(memory);
    scales = reinterpret_cast<float*>(memory + chunks * rows * 32);
  }
};

// What comes after the sum.
struct Ending {
  law::Epilogue of;
  float* out = nullptr;
  std::int64_t out_step = 0;
  const float* add = nullptr;
  std::int64_t add_step = 0;

  __device__ void store(std::int64_t r, std::int64_t o, float sum) const {
    out[r * out_step + o] = law::finished(of, o, sum, add == nullptr ? nullptr : add + r * add_step + o);
  }
};
Ending ending_of(const Linear& a);

// The matrices of experts, and which rows each multiplies: ExpertLinear.
struct Experts {
  const std::int32_t* starts = nullptr;
  const std::int64_t* addresses = nullptr;
  unsigned count = 0;

  struct One {
    const void *weights, *scales;
    std::int64_t first, end;
  };
  __device__ One of(unsigned e) const {
    return {reinterpret_cast<const void*>(addresses[2 * e]), reinterpret_cast<const void*>(addresses[2 * e + 1]),
            starts[e], starts[e + 1]};
  }
};

// A product with packed weights of 16 bits.
struct Product {
  law::Packed shape;
  const std::byte* weights = nullptr;
  bool bf16 = false;
  std::int64_t rows = 0;
  Split split;
  const float* x = nullptr;
  std::int64_t x_step = 0;
  Ending end;

  // `sum`: of all segments.
  __device__ void finish(std::int64_t r, std::int64_t o, float sum) const {
    if (!bf16) return end.store(r, o, law::scaled_back(sum, split.scales[r], 1.f));
    sum = law::scaled_back(sum, split.scales[r], reinterpret_cast<const float*>(weights + shape.scales())[o]);
    const auto* offsets = reinterpret_cast<const std::int32_t*>(weights + shape.offsets());
    if (offsets[shape.m_tiles() * law::kTile] != 0) {
      const auto* apart = reinterpret_cast<const law::Apart*>(weights + shape.apart());
      for (std::int32_t i = offsets[o]; i < offsets[o + 1]; ++i) {
        sum = law::fma(x[r * x_step + apart[i].input], apart[i].weight, sum);
      }
    }
    end.store(r, o, sum);
  }
};

// By wgmma, for many rows: what it wants of Split, and the product.
constexpr std::int64_t kManyRows = 96;
inline std::int64_t many_chunks(std::int64_t in) {
  const std::int64_t segment = law::segment_of(in);
  return (in + segment - 1) / segment * segment / 8;
}
void multiply_many(Card& card, const Product& p) noexcept;

// A product by fma in the lanes of a warp: weights of fp32, or the values of a quantised matrix.
struct Plain {
  std::int64_t outs = 0, in = 0, rows = 0;
  const float* weights = nullptr;
  DeviceMatrix matrix;  // where `weights` is null
  const float* x = nullptr;
  std::int64_t x_step = 0;
  bool vectors = false;  // all may be read four at a time
  Ending end;

  // `count` (1 to 4) elements from k on, a multiple of 4.
  __device__ __forceinline__ void row_of(std::int64_t r, std::int64_t k, int count, float (&to)[4]) const {
    floats(x + r * x_step + k, count, to);
  }
  __device__ __forceinline__ void weights_of(std::int64_t o, std::int64_t k, int count, float (&to)[4]) const {
    if (weights != nullptr) return floats(weights + o * in + k, count, to);
    for (int i = 0; i < 4; ++i) to[i] = i < count ? matrix.value(o, k + i) : 0.f;
  }
  __device__ __forceinline__ void floats(const float* from, int count, float (&to)[4]) const {
    if (vectors) {
      const float4 v = *reinterpret_cast<const float4*>(from);
      to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
      return;
    }
    for (int i = 0; i < 4; ++i) to[i] = i < count ? from[i] : 0.f;
  }
};
void multiply_plain(Card& card, const Plain& p, const Experts* experts) noexcept;

void multiply_quantized(Card& card, const Linear& a, const Experts* experts) noexcept;

}  // namespace pkv::kernels::cuda
