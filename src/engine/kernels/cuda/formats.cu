// Number formats: the same bits as in every table.
#include "engine/kernels/cuda/card.cuh"
#include "engine/kernels/cuda/device.cuh"
#include "engine/kernels/law/quantized.h"

namespace pkv::kernels::cuda {
namespace {

// Elements of a floating-point dtype that may lie at any byte.
struct Elements {
  const std::uint8_t* data = nullptr;
  DType dtype = DType::f32;

  __device__ float operator()(std::int64_t i) const {
    if (dtype == DType::f32) {
      const std::uint8_t* p = data + 4 * i;
      return law::float_of(p[0] | static_cast<std::uint32_t>(p[1]) << 8 | static_cast<std::uint32_t>(p[2]) << 16 |
                           static_cast<std::uint32_t>(p[3]) << 24);
    }
    const std::uint8_t* p = data + 2 * i;
    const auto bits = static_cast<std::uint16_t>(p[0] | p[1] << 8);
    return dtype == DType::f16 ? law::float_of_half(bits) : law::float_of_bf16(bits);
  }
};

__device__ void store(void* to, DType dtype, std::int64_t i, float x) {
  if (dtype == DType::f32) {
    static_cast<float*>(to)[i] = x;
  } else {
    static_cast<std::uint16_t*>(to)[i] = dtype == DType::f16 ? law::half_of(x) : law::bf16_of(x);
  }
}

// A thread an element of `to`.
__global__ void __launch_bounds__(256)
    convert_kernel(Elements from, std::int64_t from_step, void* to, DType dtype, std::int64_t to_step,
                   std::int64_t rows, std::int64_t columns, bool transpose) {
  wait_for_operands();
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * 256;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x; i < rows * columns; i += stride) {
    const std::int64_t r = transpose ? i % rows : i / columns, c = transpose ? i / rows : i % columns;
    store(to, dtype, transpose ? c * to_step + r : r * to_step + c, from(r * from_step + c));
  }
}

__global__ void __launch_bounds__(256) decode_kernel(DeviceMatrix m, void* to, DType dtype, std::int64_t step) {
  wait_for_operands();
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * 256;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x; i < m.out * m.in; i += stride) {
    store(to, dtype, i / m.in * step + i % m.in, m.decoded(i / m.in, i % m.in));
  }
}

// One block a row. The largest magnitude leaves out what is not a number, and infinities belong to it.
__global__ void __launch_bounds__(256)
    encode_int8_kernel(Elements from, std::int64_t in, std::int8_t* codes, float* scales) {
  __shared__ std::uint32_t of_warps[8];
  wait_for_operands();
  const std::int64_t r = blockIdx.x;
  std::uint32_t most = 0;
  for (std::int64_t k = threadIdx.x; k < in; k += 256) {
    const float x = law::as_half(from(r * in + k));
    if (!law::is_nan(x)) most = max(most, law::bits_of(law::magnitude(x)));
  }
  most = warp_max(most);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = most;
  __syncthreads();
  for (int i = 0; i < 8; ++i) most = max(most, of_warps[i]);
  const float scale = law::float_of(most), inverse = law::inverse_of(scale);
  if (threadIdx.x == 0) scales[r] = scale;
  for (std::int64_t k = threadIdx.x; k < in; k += 256) {
    const float y = law::as_half(from(r * in + k)) * inverse;
    codes[r * in + k] = law::is_nan(y) ? std::int8_t{0} : static_cast<std::int8_t>(__float2int_rn(y));
  }
}

struct Steps {
  float at[15];
  int count;
  bool signs;  // steps are of magnitudes (fp4)
};

__device__ float flushed(float x) { return law::magnitude(x) < 0x1p-126f ? 0.0f : x; }

// A warp a block of codes.
__global__ void __launch_bounds__(256) encode_four_kernel(Elements from, std::int64_t elements, std::int64_t block,
                                                          Steps steps, std::uint8_t* codes, float* scales) {
  wait_for_operands();
  const std::int64_t b = static_cast<std::int64_t>(blockIdx.x) * 8 + threadIdx.x / 32, first = b * block;
  if (first >= elements) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t count = min(block, elements - first);
  std::uint32_t most = 0;
  for (std::int64_t i = lane; i < count; i += 32) {
    const float x = flushed(from(first + i));
    if (!law::is_nan(x)) most = max(most, law::bits_of(law::magnitude(x)));
  }
  const float scale = law::float_of(warp_max(most)), inverse = flushed(1.0f / scale);
  if (lane == 0) scales[b] = scale;
  const auto code = [&](std::int64_t i) {
    const float x = flushed((i < count ? flushed(from(first + i)) : 0.0f) * inverse);
    const float compared = steps.signs ? law::magnitude(x) : x;
    int exceeded = 0;
    for (int s = 0; s < steps.count; ++s) exceeded += compared > steps.at[s] ? 1 : 0;
    if (!steps.signs) return exceeded;
    constexpr std::uint8_t kCodes[]{0, 1, 6, 7, 4, 5, 2, 3};  // quant::kFp4Codes
    return kCodes[exceeded] | (x < 0 ? 8 : 0);
  };
  for (std::int64_t i = lane; i < (count + 1) / 2; i += 32) {
    codes[first / 2 + i] = static_cast<std::uint8_t>(code(2 * i) << 4 | code(2 * i + 1));
  }
}

constexpr std::int64_t kMostBlocks = 132 * 64;

}  // namespace

void convert(Device& device, const Convert& a) noexcept {
  const std::int64_t n = a.from[0] * a.from[1];
  launch(of(device), "convert", convert_kernel,
         static_cast<unsigned>(std::min<std::int64_t>((n + 255) / 256, kMostBlocks)), 256, 0,
         Elements{a.from.as<const std::uint8_t>(), a.from.dtype}, a.from.step(0), a.to.data, a.to.dtype, a.to.step(0),
         a.from[0], a.from[1], a.transpose);
}

void encode(Device& device, const Encode& a) noexcept {
  const quant::Traits& t = a.to.traits();
  const Elements from{a.from.as<const std::uint8_t>(), a.from.dtype};
  if (t.scaling == quant::Scaling::of_rows) {
    launch(of(device), "encode", encode_int8_kernel, static_cast<unsigned>(a.to.out), 256, 0, from, a.to.in,
           a.to.codes.as<std::int8_t>(), a.to.scales.as<float>());
    return;
  }
  Steps steps{.at = {}, .count = static_cast<int>(t.steps.size()), .signs = t.steps.size() < 15};
  std::copy(t.steps.begin(), t.steps.end(), steps.at);
  launch(of(device), "encode", encode_four_kernel, blocks_for(a.to.blocks(), 8), 256, 0, from, a.to.elements(),
         a.to.block, steps, a.to.codes.as<std::uint8_t>(), a.to.scales.as<float>());
}

void decode(Device& device, const Decode& a) noexcept {
  const std::int64_t n = a.from.elements();
  launch(of(device), "decode", decode_kernel,
         static_cast<unsigned>(std::min<std::int64_t>((n + 255) / 256, kMostBlocks)), 256, 0, device_matrix(a.from),
         a.to.data, a.to.dtype, a.to.step(0));
}

}  // namespace pkv::kernels::cuda
