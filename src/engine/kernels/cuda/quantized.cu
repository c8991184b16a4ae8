// Products with quantised matrices: law/quantized.h.
#include "engine/kernels/cuda/card.cuh"
#include "engine/kernels/cuda/device.cuh"
#include "engine/kernels/cuda/product.cuh"
#include "engine/kernels/host.h"
#include "engine/kernels/law/quantized.h"

namespace pkv::kernels::cuda {
namespace {

// ---- int8

// Rows of activations as codes.
struct Codes {
  std::int64_t rows = 0, in = 0, step = 0;  // step: bytes from row to row, a multiple of 16
  std::int8_t* codes = nullptr;
  float* scales = nullptr;
  std::int32_t* counts = nullptr;   // of outliers
  std::int32_t* columns = nullptr;  // [rows, in]
  std::uint8_t* flags = nullptr;    // [in], where the outliers of the call are taken together

  std::size_t bytes() const { return static_cast<std::size_t>(rows * (step + 8 + 4 * in) + in); }
  void in_memory(std::byte* memory) {
    codes = reinterpret_cast<std::int8_t*>(memory);
    scales = reinterpret_cast<float*>(memory + rows * step);
    counts = reinterpret_cast<std::int32_t*>(scales + rows);
    columns = counts + rows;
    flags = reinterpret_cast<std::uint8_t*>(columns + rows * in);
  }
};

// A thread a column: whether any row has an outlier there.
__global__ void __launch_bounds__(256) flags_kernel(Codes to, const float* x, std::int64_t x_step, float threshold) {
  wait_for_operands();
  const std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (k >= to.in) return;
  bool any = false;
  for (std::int64_t r = 0; r < to.rows; ++r) any |= law::is_outlier(law::as_half(x[r * x_step + k]), threshold);
  to.flags[k] = any ? 1 : 0;
}

// One block a row.
__global__ void __launch_bounds__(256)
    codes_kernel(Codes to, const float* x, std::int64_t x_step, float threshold, bool of_call) {
  __shared__ std::uint32_t of_warps[8];
  __shared__ int in_warps[8];
  __shared__ int nan, listed;
  wait_for_operands();
  const std::int64_t r = blockIdx.x;
  const int t = static_cast<int>(threadIdx.x);
  const float* row = x + r * x_step;
  if (t == 0) nan = 0, listed = 0;
  __syncthreads();
  const auto rest = [&](std::int64_t k) {
    const float v = law::as_half(row[k]);
    return law::is_outlier(v, threshold) ? 0.f : v;
  };
  std::uint32_t most = 0;
  for (std::int64_t k = t; k < to.in; k += 256) {
    const std::uint32_t m = law::bits_of(law::magnitude(rest(k)));
    if (m >= 0x7f800000u) nan = 1;
    if (m <= 0x7f800000u) most = max(most, m);
  }
  most = warp_max(most);
  if (t % 32 == 0) of_warps[t / 32] = most;
  __syncthreads();
  for (int i = 0; i < 8; ++i) most = max(most, of_warps[i]);
  const float scale = law::float_of(most), inverse = law::inverse_of(scale);
  for (std::int64_t first = 0; first < to.step; first += 256) {
    const std::int64_t k = first + t;
    bool apart = false;
    std::int32_t code = 0;
    if (k < to.in) {
      apart = of_call ? to.flags[k] != 0 : law::is_outlier(law::as_half(row[k]), threshold);
      if (nan == 0 && !apart) code = law::code_of(rest(k), inverse);
    }
    if (k < to.step) to.codes[r * to.step + k] = static_cast<std::int8_t>(code);
    const unsigned all = __ballot_sync(0xffffffffu, apart);
    if (t % 32 == 0) in_warps[t / 32] = __popc(all);
    __syncthreads();
    int before = listed;
    for (int i = 0; i < t / 32; ++i) before += in_warps[i];
    if (apart) to.columns[r * to.in + before + __popc(all & ((1u << t % 32) - 1))] = static_cast<std::int32_t>(k);
    __syncthreads();
    if (t == 0) {
      for (int i = 0; i < 8; ++i) listed += in_warps[i];
    }
    __syncthreads();
  }
  if (t == 0) to.scales[r] = nan != 0 ? law::float_of(0x7fc00000u) : scale, to.counts[r] = listed;
}

struct Int8 {
  const std::int8_t* weights = nullptr;
  const float* scales = nullptr;
  std::int64_t outs = 0;
  bool vectors = false;
  Codes codes;
  const float* x = nullptr;
  std::int64_t x_step = 0;
  Ending end;
};

// A warp has 2 outputs and up to kRows rows.
template <int kRows>
__device__ __forceinline__ void int8_rows(const Int8& p, std::int64_t first_row, std::int64_t end) {
  constexpr int kOuts = 2;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t first_out = (static_cast<std::int64_t>(blockIdx.x) * 8 + threadIdx.x / 32) * kOuts;
  const std::int64_t in = p.codes.in;
  if (first_out >= p.outs) return;
  int sum[kRows][kOuts] = {};
  for (std::int64_t k = 16 * lane; k < in; k += 16 * 32) {
    int w[kOuts][4];
#pragma unroll
    for (int o = 0; o < kOuts; ++o) {
      const std::int8_t* from = p.weights + min(first_out + o, p.outs - 1) * in + k;
      if (p.vectors) {
        const int4 v = __ldcs(reinterpret_cast<const int4*>(from));
        w[o][0] = v.x, w[o][1] = v.y, w[o][2] = v.z, w[o][3] = v.w;
      } else {
        for (int i = 0; i < 4; ++i) {
          w[o][i] = 0;
          for (int j = 0; j < 4; ++j) {
            if (k + 4 * i + j < in) w[o][i] |= static_cast<int>(static_cast<std::uint8_t>(from[4 * i + j])) << 8 * j;
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const std::int64_t row = min(first_row + r, end - 1);
      const int4 x = *reinterpret_cast<const int4*>(p.codes.codes + row * p.codes.step + k);
#pragma unroll
      for (int o = 0; o < kOuts; ++o) {
        sum[r][o] = __dp4a(x.x, w[o][0], sum[r][o]);
        sum[r][o] = __dp4a(x.y, w[o][1], sum[r][o]);
        sum[r][o] = __dp4a(x.z, w[o][2], sum[r][o]);
        sum[r][o] = __dp4a(x.w, w[o][3], sum[r][o]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int o = 0; o < kOuts; ++o) sum[r][o] = __reduce_add_sync(0xffffffffu, sum[r][o]);
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int o = 0; o < kOuts; ++o) {
      const std::int64_t row = first_row + r, out = first_out + o;
      if (lane != (r * kOuts + o) % 32 || row >= end || out >= p.outs) continue;
      float all = law::int8_product(sum[r][o], p.codes.scales[row], p.scales[out]);
      const std::int32_t count = p.codes.counts[row];
      if (count > 0) {
        float outliers = 0;
        for (std::int32_t i = 0; i < count; ++i) {
          const std::int32_t k = p.codes.columns[row * in + i];
          outliers = law::fma(law::as_half(p.x[row * p.x_step + k]),
                              law::decoded_int8(p.weights[out * in + k], p.scales[out]), outliers);
        }
        all = all + outliers;
      }
      p.end.store(row, out, all);
    }
  }
}

template <int kRows>
__global__ void __launch_bounds__(256) int8_kernel(Int8 p) {
  wait_for_operands();
  int8_rows<kRows>(p, static_cast<std::int64_t>(blockIdx.y) * kRows, p.codes.rows);
}

__global__ void __launch_bounds__(256) int8_of_experts_kernel(Int8 p, Experts experts) {
  wait_for_operands();
  const Experts::One one = experts.of(blockIdx.y);
  p.weights = static_cast<const std::int8_t*>(one.weights);
  p.scales = static_cast<const float*>(one.scales);
  if (p.end.of.bias != nullptr) p.end.of.bias += static_cast<std::int64_t>(blockIdx.y) * p.outs;
  for (std::int64_t first = one.first; first < one.end; first += 4) int8_rows<4>(p, first, one.end);
}

void multiply_int8(Card& card, const Linear& a, const Experts* experts) noexcept {
  const quant::Matrix& m = a.quantized;
  Int8 p{.weights = m.codes.as<const std::int8_t>(),
         .scales = m.scales.as<const float>(),
         .outs = m.out,
         .vectors = m.in % 16 == 0 && reinterpret_cast<std::uintptr_t>(m.codes.data) % 16 == 0,
         .codes = {.rows = a.x[0], .in = m.in, .step = (m.in + 15) / 16 * 16},
         .x = a.x.as<const float>(),
         .x_step = a.x.step(0),
         .end = ending_of(a)};
  auto* scratch = static_cast<std::byte*>(card.scratch(p.codes.bytes()));
  if (scratch == nullptr) return;
  p.codes.in_memory(scratch);
  if (a.outliers_of_call) {
    launch(card, "linear: outliers", flags_kernel, blocks_for(m.in, 256), 256, 0, p.codes, p.x, p.x_step,
           a.outlier_threshold);
  }
  launch(card, "linear: codes", codes_kernel, static_cast<unsigned>(p.codes.rows), 256, 0, p.codes, p.x, p.x_step,
         a.outlier_threshold, a.outliers_of_call);
  const unsigned outs = blocks_for(m.out, 16);
  if (experts != nullptr) {
    launch(card, "linear of experts", int8_of_experts_kernel, dim3(outs, experts->count), 256, 0, p, *experts);
  } else if (p.codes.rows == 1) {
    launch(card, "linear int8", int8_kernel<1>, dim3(outs, 1), 256, 0, p);
  } else {
    launch(card, "linear int8", int8_kernel<8>, dim3(outs, blocks_for(p.codes.rows, 8)), 256, 0, p);
  }
}

}  // namespace

void multiply_quantized(Card& card, const Linear& a, const Experts* experts) noexcept {
  if (a.quantized.traits().product == quant::Product::of_codes) return multiply_int8(card, a, experts);
  const bool vectors = a.x[1] % 4 == 0 && a.x.step(0) % 4 == 0 && reinterpret_cast<std::uintptr_t>(a.x.data) % 16 == 0;
  multiply_plain(card,
                 {.outs = a.quantized.out,
                  .in = a.quantized.in,
                  .rows = a.x[0],
                  .weights = nullptr,
                  .matrix = device_matrix(a.quantized),
                  .x = a.x.as<const float>(),
                  .x_step = a.x.step(0),
                  .vectors = vectors,
                  .end = ending_of(a)},
                 experts);
}

std::size_t linear_scratch(const quant::Matrix& matrix, std::int64_t rows) noexcept {
  return host::linear_scratch(matrix, rows);  // what it needs it takes from the card
}

// Codes and scales stay as they lie, where the vectors of threads can read them.
void* pack_quantized(Device& device, quant::Matrix& m) noexcept {
  const auto lies = [](const View& v) { return reinterpret_cast<std::uintptr_t>(v.data) % 16 == 0; };
  if (lies(m.codes) && lies(m.scales)) return nullptr;
  Card& card = of(device);
  card.stream();
  const std::size_t codes = (m.code_bytes() + 255) / 256 * 256;
  auto* memory = static_cast<std::byte*>(card.slabs.take(codes + m.scale_bytes()));
  if (memory != nullptr) {
    card.copy(memory, m.codes.data, m.code_bytes());
    if (m.scale_bytes() > 0) card.copy(memory + codes, m.scales.data, m.scale_bytes());
  }
  m.codes.data = memory;
  if (m.scale_bytes() > 0) m.scales.data = memory + codes;
  return memory;
}

}  // namespace pkv::kernels::cuda
