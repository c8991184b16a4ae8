// What kernels of several sources share: sums over a warp, elements of matrices as they lie in the GPU's memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/kernels/kernels.h"
#include "engine/kernels/law/packed.h"
#include "engine/quant/ggml_blocks.h"

namespace pkv::kernels::cuda {

// As law::tree_of_lanes; every lane has the sum.
__device__ __forceinline__ float warp_sum(float x) {
  for (int d = 16; d > 0; d /= 2) x = x + __shfl_xor_sync(0xffffffffu, x, d);
  return x;
}
__device__ __forceinline__ std::uint32_t warp_max(std::uint32_t x) { return __reduce_max_sync(0xffffffffu, x); }

// Weight (o, k) of a packed matrix.
__device__ inline float packed_value(const void* memory, const law::Packed& shape, bool bf16, std::int64_t o,
                                     std::int64_t k) {
  const float half = law::float_of_half(static_cast<const std::uint16_t*>(memory)[shape.at(o, k)]);
  if (!bf16) return half;
  const auto* bytes = static_cast<const std::byte*>(memory);
  const auto* offsets = reinterpret_cast<const std::int32_t*>(bytes + shape.offsets());
  const auto* apart = reinterpret_cast<const law::Apart*>(bytes + shape.apart());
  for (std::int32_t i = offsets[o]; i < offsets[o + 1]; ++i) {
    if (apart[i].input == k) return apart[i].weight;
  }
  return half * reinterpret_cast<const float*>(bytes + shape.scales())[o];
}

// Calls body(block) with element decoders of ggml's format; false where it is none of them.
template <class Body>
__device__ __forceinline__ void with_block(quant::Format format, const std::uint8_t* p, const Body& body) {
  using namespace quant::ggml;  // NOLINT: all of its formats
  switch (format) {
    case quant::Format::q4_0:
      return body(Q4_0{p});
    case quant::Format::q4_1:
      return body(Q4_1{p});
    case quant::Format::q5_0:
      return body(Q5_0{p});
    case quant::Format::q5_1:
      return body(Q5_1{p});
    case quant::Format::q8_0:
      return body(Q8_0{p});
    case quant::Format::q2_k:
      return body(Q2_K{p});
    case quant::Format::q3_k:
      return body(Q3_K{p});
    case quant::Format::q4_k:
      return body(Q4_K{{p}});
    case quant::Format::q5_k:
      return body(Q5_K{{p}});
    case quant::Format::q6_k:
      return body(Q6_K{p});
    case quant::Format::iq4_nl:
      return body(Iq4Nl{p});
    case quant::Format::iq4_xs:
      return body(Iq4Xs{p});
    case quant::Format::mxfp4:
      return body(Mxfp4{p});
    case quant::Format::nvfp4:
      return body(Nvfp4{p});
    case quant::Format::tq1_0:
      return body(Tq1_0{p});
    case quant::Format::tq2_0:
      return body(Tq2_0{p});
    case quant::Format::int8:
    case quant::Format::fp4:
    case quant::Format::nf4:
      return;
  }
}

// A quantised matrix as kernels take it. `values` are those of 16 codes, for the formats that have them.
struct DeviceMatrix {
  quant::Format format = quant::Format::nf4;
  DType decoded_as = DType::f32;
  std::int64_t out = 0, in = 0, block = 1, block_bytes = 1;
  const std::uint8_t* codes = nullptr;
  const float* scales = nullptr;
  float values[16]{};

  // fp32, as quant::decode gives it with `decoded` fp32.
  __device__ float value(std::int64_t o, std::int64_t k) const {
    const std::int64_t at = o * in + k;
    if (format == quant::Format::int8) {
      return static_cast<float>(static_cast<std::int8_t>(codes[at])) * scales[o] * 7.874015718698502e-3f;
    }
    if (format == quant::Format::nf4 || format == quant::Format::fp4) {
      const int byte = codes[at / 2];
      return values[at % 2 == 0 ? byte >> 4 : byte & 15] * scales[at / block];
    }
    float x = 0;
    with_block(format, codes + at / block * block_bytes,
               [&](const auto& elements) { x = elements(static_cast<int>(at % block)); });
    return x;
  }
  __device__ float decoded(std::int64_t o, std::int64_t k) const {
    const float x = value(o, k);
    if (decoded_as == DType::f16) return law::float_of_half(law::half_of(x));
    if (decoded_as == DType::bf16) return law::float_of_bf16(law::bf16_of(x));
    return x;
  }
};
inline DeviceMatrix device_matrix(const quant::Matrix& m) {
  const quant::Traits& t = m.traits();
  DeviceMatrix d{.format = m.format,
                 .decoded_as = t.has_blocks() ? m.decoded : DType::f32,
                 .out = m.out,
                 .in = m.in,
                 .block = t.has_blocks() ? m.block : t.codes.weights,
                 .block_bytes = t.codes.bytes,
                 .codes = m.codes.as<const std::uint8_t>(),
                 .scales = m.scales.as<const float>()};
  if (t.has_blocks()) {
    for (std::size_t i = 0; i < 16; ++i) d.values[i] = t.values[i];
  }
  return d;
}

}  // namespace pkv::kernels::cuda
