// Convolutions and recurrences: law/states.h.
#include "engine/kernels/law/states.h"

#include <algorithm>

#include "engine/kernels/cuda_model/table.h"
#include "engine/kernels/cuda_model/vectors.h"
#include "engine/tensor/element.h"

namespace pkv::kernels::cuda_model {
namespace {

using Int = std::int64_t;

// Input of a channel, `back` tokens before row r of a sequence.
float input_before(const Convolve& a, const Sequence& s, Int r, Int back, Int channel) {
  if (back <= r) return row(a.x, s.first_row + r - back)[channel];
  const Int kept = a.weight[0] - 1;
  return s.state == nullptr ? 0 : load_element(s.state + a.at, DType::f32, (kept + r - back) * a.out[1] + channel);
}

const float* head_of(const View& v, Int r, Int head) { return row(v, r) + head * v.step(1); }

// All tokens of a sequence, of one head.
PKV_ALWAYS void recur_head(const Recur& a, const Sequence& s, Int head) {
  const Int keys = a.k[2], values = a.v[2], key_head = head / (a.v[1] / a.k[1]);
  const std::size_t at = a.at + static_cast<std::size_t>(head * keys * values) * sizeof(float);
  auto* state = reinterpret_cast<float*>(s.next + at);
  if (s.state == nullptr) {
    std::fill_n(state, keys * values, 0.f);
  } else if (s.state != s.next) {
    std::copy_n(reinterpret_cast<const float*>(s.state + at), keys * values, state);
  }
  const float bias = a.bias ? a.bias.as<const float>()[head] : 0, rate = a.rate.as<const float>()[head];
  for (Int r = s.first_row; r < s.first_row + s.rows; ++r) {
    const float *q = head_of(a.q, r, key_head), *k = head_of(a.k, r, key_head), *v = head_of(a.v, r, head);
    const law::TokenStep step = law::token_step(row(a.a, r)[head], bias, rate, a.least, a.most);
    float* out = row(a.out, r) + head * a.out.step(1);
    for (Int j = 0; j < values; ++j) {
      float u = step.step * v[j];
      if (a.b) {
        float found[law::kKeyChains] = {};
        for (Int i = 0; i < keys; ++i) {
          float& chain = found[i % law::kKeyChains];
          chain = law::fma(k[i], step.decay * state[i * values + j], chain);
        }
        u = law::sigmoid_of(row(a.b, r)[head]) * (v[j] - law::tree_of_keys(found));
      }
      float sums[law::kKeyChains] = {};
      for (Int i = 0; i < keys; ++i) {
        float &kept = state[i * values + j], &chain = sums[i % law::kKeyChains];
        kept = law::fma(k[i], u, step.decay * kept);
        chain = law::fma(q[i], kept, chain);
      }
      out[j] = law::tree_of_keys(sums);
      if (a.skip) out[j] = law::fma(a.skip.as<const float>()[head], v[j], out[j]);
    }
  }
}
PKV_FUSED void recur_head_fused(const Recur& a, const Sequence& s, Int head) { recur_head(a, s, head); }

}  // namespace

void convolve(Device&, const Convolve& a) noexcept {
  const Int taps = a.weight[0], channels = a.out[1];
  for (const Sequence& s : host::sequences(a.batch)) {
    for (Int r = 0; r < s.rows; ++r) {
      for (Int c = 0; c < channels; ++c) {
        float sum = 0;
        for (Int j = 0; j < taps; ++j) sum = law::fma(row(a.weight, j)[c], input_before(a, s, r, taps - 1 - j, c), sum);
        if (a.bias) sum = sum + a.bias.as<const float>()[c];
        row(a.out, s.first_row + r)[c] = law::apply(a.act, sum);
      }
    }
    auto* kept = reinterpret_cast<float*>(s.next + a.at);  // may be where the state is: the oldest are read first
    for (Int i = 0; i < taps - 1; ++i) {
      for (Int c = 0; c < channels; ++c) kept[i * channels + c] = input_before(a, s, s.rows - 1, taps - 2 - i, c);
    }
  }
}

void recur(Device& device, const Recur& a) noexcept {
  for (const Sequence& s : host::sequences(a.batch)) {
    spread(device, a.v[1], s.rows * a.v[1] * a.v[2] * a.k[2],
           [&](Int head) { has_fused() ? recur_head_fused(a, s, head) : recur_head(a, s, head); });
  }
}

}  // namespace pkv::kernels::cuda_model
