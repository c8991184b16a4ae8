// Convolutions and recurrences along the tokens of a sequence: law/states.h.
#include "engine/kernels/cuda/card.cuh"
#include "engine/kernels/law/states.h"

namespace pkv::kernels::cuda {
namespace {

// ---- convolve

struct Convolution {
  const float *x, *weight, *bias;
  float* out;
  std::int64_t x_row, weight_row, out_row, taps, channels;
  const Sequence* sequences;
  std::int64_t count, rows;
  std::size_t at;
  Act act;

  // Input of a channel, `back` tokens before row r of a sequence.
  __device__ float before(const Sequence& s, std::int64_t r, std::int64_t back, std::int64_t channel) const {
    if (back <= r) return x[(s.first_row + r - back) * x_row + channel];
    if (s.state == nullptr) return 0;
    return reinterpret_cast<const float*>(s.state + at)[(taps - 1 + r - back) * channels + channel];
  }
};

__global__ void __launch_bounds__(256) convolve_kernel(Convolution a) {
  wait_for_operands();
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (c >= a.channels) return;
  for (std::int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const Sequence* s = a.sequences;
    while (s < a.sequences + a.count && (row < s->first_row || row - s->first_row >= s->rows)) ++s;
    if (s == a.sequences + a.count) continue;
    float sum = 0;
    for (std::int64_t j = 0; j < a.taps; ++j) {
      sum = law::fma(a.weight[j * a.weight_row + c], a.before(*s, row - s->first_row, a.taps - 1 - j, c), sum);
    }
    if (a.bias != nullptr) sum = sum + a.bias[c];
    a.out[row * a.out_row + c] = law::apply(a.act, sum);
  }
}

// What the next call goes on from. It may lie where the state is: a channel's oldest inputs are read first.
__global__ void __launch_bounds__(256) keep_kernel(Convolution a) {
  wait_for_operands();
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (c >= a.channels) return;
  const Sequence& s = a.sequences[blockIdx.y];
  auto* kept = reinterpret_cast<float*>(s.next + a.at);
  for (std::int64_t i = 0; i < a.taps - 1; ++i) kept[i * a.channels + c] = a.before(s, s.rows - 1, a.taps - 2 - i, c);
}

// ---- recur

struct Recurrence {
  const float *q, *k, *v, *a, *b, *rate, *bias, *skip;
  float* out;
  std::int64_t q_row, q_head, k_row, k_head, v_row, v_head, a_row, b_row, out_row, out_head;
  std::int64_t keys, values, heads, heads_per_key;
  float least, most;
  const Sequence* sequences;
  std::size_t at;
};

// A block a head and sequence, a thread a column of values.
__global__ void __launch_bounds__(256) recur_kernel(Recurrence a) {
  __shared__ float q[kMostKeys], k[kMostKeys];
  wait_for_operands();
  const std::int64_t head = blockIdx.x, key_head = head / a.heads_per_key;
  const Sequence s = a.sequences[blockIdx.y];
  const std::size_t at = a.at + static_cast<std::size_t>(head * a.keys * a.values) * sizeof(float);
  auto* state = reinterpret_cast<float*>(s.next + at);
  const auto* given = s.state == nullptr ? nullptr : reinterpret_cast<const float*>(s.state + at);
  const float bias = a.bias != nullptr ? a.bias[head] : 0, rate = a.rate[head];
  for (std::int64_t r = s.first_row; r < s.first_row + s.rows; ++r) {
    __syncthreads();
    for (std::int64_t i = threadIdx.x; i < a.keys; i += 256) {
      q[i] = a.q[r * a.q_row + key_head * a.q_head + i];
      k[i] = a.k[r * a.k_row + key_head * a.k_head + i];
    }
    __syncthreads();
    const law::TokenStep step = law::token_step(a.a[r * a.a_row + head], bias, rate, a.least, a.most);
    const bool first = r == s.first_row;
    for (std::int64_t j = threadIdx.x; j < a.values; j += 256) {
      const auto before = [&](std::int64_t i) {
        if (!first) return state[i * a.values + j];
        return given == nullptr ? 0.f : given[i * a.values + j];
      };
      const float v = a.v[r * a.v_row + head * a.v_head + j];
      float u = step.step * v;
      if (a.b != nullptr) {
        float found[law::kKeyChains] = {};
        for (std::int64_t from = 0; from < a.keys; from += law::kKeyChains) {
#pragma unroll
          for (int c = 0; c < law::kKeyChains; ++c) {
            if (from + c < a.keys) found[c] = law::fma(k[from + c], step.decay * before(from + c), found[c]);
          }
        }
        u = law::sigmoid_of(a.b[r * a.b_row + head]) * (v - law::tree_of_keys(found));
      }
      float sums[law::kKeyChains] = {};
      for (std::int64_t from = 0; from < a.keys; from += law::kKeyChains) {
#pragma unroll
        for (int c = 0; c < law::kKeyChains; ++c) {
          if (from + c >= a.keys) continue;
          const float kept = law::fma(k[from + c], u, step.decay * before(from + c));
          state[(from + c) * a.values + j] = kept;
          sums[c] = law::fma(q[from + c], kept, sums[c]);
        }
      }
      float out = law::tree_of_keys(sums);
      if (a.skip != nullptr) out = law::fma(a.skip[head], v, out);
      a.out[r * a.out_row + head * a.out_head + j] = out;
    }
  }
}

}  // namespace

void convolve(Device& device, const Convolve& call) noexcept {
  const Convolution a{.x = call.x.as<const float>(),
                      .weight = call.weight.as<const float>(),
                      .bias = call.bias.as<const float>(),
                      .out = call.out.as<float>(),
                      .x_row = call.x.step(0),
                      .weight_row = call.weight.step(0),
                      .out_row = call.out.step(0),
                      .taps = call.weight[0],
                      .channels = call.out[1],
                      .sequences = call.batch.sequences,
                      .count = call.batch.count,
                      .rows = call.batch.rows,
                      .at = call.at,
                      .act = call.act};
  const unsigned wide = blocks_for(a.channels, 256);
  launch(of(device), "convolve", convolve_kernel,
         dim3(wide, static_cast<unsigned>(std::min<std::int64_t>(a.rows, 65535))), 256, 0, a);
  launch(of(device), "convolve", keep_kernel, dim3(wide, static_cast<unsigned>(a.count)), 256, 0, a);
}

void recur(Device& device, const Recur& call) noexcept {
  const Recurrence a{.q = call.q.as<const float>(),
                     .k = call.k.as<const float>(),
                     .v = call.v.as<const float>(),
                     .a = call.a.as<const float>(),
                     .b = call.b.as<const float>(),
                     .rate = call.rate.as<const float>(),
                     .bias = call.bias.as<const float>(),
                     .skip = call.skip.as<const float>(),
                     .out = call.out.as<float>(),
                     .q_row = call.q.step(0),
                     .q_head = call.q.step(1),
                     .k_row = call.k.step(0),
                     .k_head = call.k.step(1),
                     .v_row = call.v.step(0),
                     .v_head = call.v.step(1),
                     .a_row = call.a.step(0),
                     .b_row = call.b ? call.b.step(0) : 0,
                     .out_row = call.out.step(0),
                     .out_head = call.out.step(1),
                     .keys = call.k[2],
                     .values = call.v[2],
                     .heads = call.v[1],
                     .heads_per_key = call.v[1] / call.k[1],
                     .least = call.least,
                     .most = call.most,
                     .sequences = call.batch.sequences,
                     .at = call.at};
  launch(of(device), "recur", recur_kernel,
         dim3(static_cast<unsigned>(a.heads), static_cast<unsigned>(call.batch.count)), 256, 0, a);
}

}  // namespace pkv::kernels::cuda
