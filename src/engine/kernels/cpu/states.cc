// Operations whose rows go on from those before them: convolve, recur. Row law: a channel of a convolution adds up its
// taps from the oldest on; a column of a recurrence's matrix is a lane's own, and its sums over keys are one
// accumulator in the order of keys, so the width of a vector makes no difference, nor where a call ends.
#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/states.cc"
#include "hwy/foreach_target.h"
//
#include <cmath>

#include "engine/kernels/cpu/lanes-inl.h"
#include "engine/kernels/cpu/math-inl.h"
#include "engine/kernels/cpu/table.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

// Row r of a sequence.
void convolve_row(const Convolve& a, const Sequence& s, Int r) {
  const Floats d;
  const Int taps = a.weight[0], channels = a.out[1], kept = taps - 1;
  const float* inputs[kMostTaps];  // the oldest first; null: zeros
  for (Int j = 0; j < taps; ++j) {
    const Int from = r - kept + j;
    const auto* state = reinterpret_cast<const float*>(s.state == nullptr ? nullptr : s.state + a.at);
    inputs[j] = from >= 0          ? row(a.x, s.first_row + from)
                : state == nullptr ? nullptr
                                   : state + (kept + from) * channels;
  }
  const float* bias = a.bias.as<const float>();
  float* out = row(a.out, s.first_row + r);
  const auto sum = [&](const auto& load) HWY_ATTR {
    Vec y = hn::Zero(d);
    for (Int j = 0; j < taps; ++j) {
      const Vec x = inputs[j] == nullptr ? hn::Zero(d) : load(inputs[j]);
      y = hn::MulAdd(load(row(a.weight, j)), x, y);
    }
    if (bias != nullptr) y = hn::Add(y, load(bias));
    return act_lanes(a.act, y);
  };
  Int i = 0;
  for (; i + kLanes <= channels; i += kLanes) {
    hn::StoreU(sum([&](const float* p) HWY_ATTR { return hn::LoadU(d, p + i); }), d, out + i);
  }
  if (i == channels) return;
  alignas(64) float rest[kLanes];
  hn::Store(sum([&](const float* p) HWY_ATTR { return widen_first(channels - i, p + i); }), d, rest);
  std::copy(rest, rest + channels - i, out + i);
}

void convolve_rows(const Convolve& a, const Sequence& s, Int first, Int count) {
  for (Int r = first; r < first + count; ++r) convolve_row(a, s, r);
}

constexpr Int kStripe = 2 * kLanes;  // columns of a matrix that go through all tokens together
constexpr Int kTokens = 64;          // of which numbers that all columns share are computed at a time

// What a head's matrix is multiplied by, and how much of a token goes into it.
struct Steps {
  float decay[kTokens], share[kTokens];  // share: sigmoid(b), or the step
};

void steps_of(const Recur& a, Int first, Int count, Int head, Steps& steps) {
  const float bias = a.bias.as<const float>()[head], rate = a.rate.as<const float>()[head];
  for (Int t = 0; t < count; ++t) {
    const float x = row(a.a, first + t)[head] + bias;
    const float step = std::clamp(std::max(x, 0.f) + std::log1p(std::exp(-std::abs(x))), a.least, a.most);
    steps.decay[t] = std::exp(-rate * step);
    steps.share[t] = a.b ? 1 / (1 + std::exp(-row(a.b, first + t)[head])) : step;
  }
}

HWY_INLINE const float* head_of(const View& v, Int r, Int head) { return row(v, r) + head * v.step(1); }

// Columns [column, column + columns) of a head's matrix, columns <= kStripe, through tokens [first, first + count).
// `state` [keys, kStripe] is changed in place.
void recur_stripe(const Recur& a, const Steps& steps, Int first, Int count, Int head, Int column, Int columns,
                  float* HWY_RESTRICT state) {
  const Floats d;
  const Int keys = a.k[2], key_head = head / (a.v[1] / a.k[1]);
  const bool delta = static_cast<bool>(a.b);
  const Vec skip = hn::Set(d, a.skip ? a.skip.as<const float>()[head] : 0.f);
  Vec found0 = hn::Zero(d), found1 = hn::Zero(d);  // k^T S of the token to come, before it decays
  if (delta) {
    const float* k = head_of(a.k, first, key_head);
    for (Int i = 0; i < keys; ++i) {
      const Vec key = hn::Set(d, k[i]);
      found0 = hn::MulAdd(key, hn::Load(d, state + i * kStripe), found0);
      found1 = hn::MulAdd(key, hn::Load(d, state + i * kStripe + kLanes), found1);
    }
  }
  alignas(64) float padded[kStripe] = {};
  for (Int t = 0; t < count; ++t) {
    const float *q = head_of(a.q, first + t, key_head), *k = head_of(a.k, first + t, key_head);
    const float* v = head_of(a.v, first + t, head) + column;
    if (columns < kStripe) v = std::copy(v, v + columns, padded) - columns;
    const Vec v0 = hn::LoadU(d, v), v1 = hn::LoadU(d, v + kLanes);
    const Vec decay = hn::Set(d, steps.decay[t]), share = hn::Set(d, steps.share[t]);
    Vec u0 = v0, u1 = v1;
    if (delta) u0 = hn::NegMulAdd(decay, found0, v0), u1 = hn::NegMulAdd(decay, found1, v1);
    u0 = hn::Mul(share, u0), u1 = hn::Mul(share, u1);
    Vec out0 = hn::Mul(skip, v0), out1 = hn::Mul(skip, v1);
    const auto each = [&](Int i, auto and_find, const float* next) HWY_ATTR {
      float* s = state + i * kStripe;
      const Vec key = hn::Set(d, k[i]), query = hn::Set(d, q[i]);
      const Vec s0 = hn::MulAdd(key, u0, hn::Mul(decay, hn::Load(d, s)));
      const Vec s1 = hn::MulAdd(key, u1, hn::Mul(decay, hn::Load(d, s + kLanes)));
      hn::Store(s0, d, s), hn::Store(s1, d, s + kLanes);
      out0 = hn::MulAdd(query, s0, out0), out1 = hn::MulAdd(query, s1, out1);
      if constexpr (decltype(and_find)::value) {
        const Vec to_come = hn::Set(d, next[i]);
        found0 = hn::MulAdd(to_come, s0, found0), found1 = hn::MulAdd(to_come, s1, found1);
      }
    };
    if (delta && t + 1 < count) {
      const float* next = head_of(a.k, first + t + 1, key_head);
      found0 = found1 = hn::Zero(d);
      for (Int i = 0; i < keys; ++i) each(i, std::true_type(), next);
    } else {
      for (Int i = 0; i < keys; ++i) each(i, std::false_type(), nullptr);
    }
    float* out = const_cast<float*>(head_of(a.out, first + t, head)) + column;
    if (columns == kStripe) {
      hn::StoreU(out0, d, out), hn::StoreU(out1, d, out + kLanes);
    } else {
      alignas(64) float rest[kStripe];
      hn::Store(out0, d, rest), hn::Store(out1, d, rest + kLanes);
      std::copy(rest, rest + columns, out);
    }
  }
}

// Columns [begin, end) of a head's matrix through all tokens of a sequence.
void recur_columns(const Recur& a, const Sequence& s, Int head, Int begin, Int end) {
  alignas(64) float state[kMostKeys * kStripe];
  const Int keys = a.k[2], values = a.v[2];
  const std::size_t at = a.at + static_cast<std::size_t>(head * keys * values) * sizeof(float);
  auto* next = reinterpret_cast<float*>(s.next + at);
  const auto* from = reinterpret_cast<const float*>(s.state == nullptr ? nullptr : s.state + at);
  Steps steps;
  for (Int first = 0; first < s.rows; first += kTokens) {
    const Int count = std::min(kTokens, s.rows - first);
    steps_of(a, s.first_row + first, count, head, steps);
    for (Int column = begin; column < end; column += kStripe) {
      const Int columns = std::min(kStripe, end - column);
      for (Int i = 0; i < keys; ++i) {
        float* to = std::fill_n(state + i * kStripe, kStripe, 0.f) - kStripe;
        if (from != nullptr) std::copy_n(from + i * values + column, columns, to);
      }
      recur_stripe(a, steps, s.first_row + first, count, head, column, columns, state);
      for (Int i = 0; i < keys; ++i) std::copy_n(state + i * kStripe, columns, next + i * values + column);
    }
    from = next;
  }
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(convolve_rows);
HWY_EXPORT(recur_columns);

// The last inputs of a sequence, for the call to come. Its state may lie in the same memory, where each is read before
// it is written over.
void keep_inputs(const Convolve& a, const Sequence& s) {
  const std::int64_t kept = a.weight[0] - 1, channels = a.out[1];
  auto* next = reinterpret_cast<float*>(s.next + a.at);
  for (std::int64_t i = 0; i < kept; ++i) {
    const std::int64_t from = s.rows - kept + i;  // row of the call; of those before it negative
    float* to = next + i * channels;
    if (from >= 0) {
      std::copy_n(row(a.x, s.first_row + from), channels, to);
    } else if (s.state != nullptr) {
      std::copy_n(reinterpret_cast<const float*>(s.state + a.at) + (kept + from) * channels, channels, to);
    } else {
      std::fill_n(to, channels, 0.f);
    }
  }
}

}  // namespace

void convolve(Device& device, const Convolve& a) noexcept {
  for (const Sequence& s : host::sequences(a.batch)) {
    for_row_ranges(device, s.rows, a.out[1] * a.weight[0], [&](std::int64_t first, std::int64_t n) {
      HWY_DYNAMIC_DISPATCH(convolve_rows)(a, s, first, n);
    });
    keep_inputs(a, s);
  }
}

void recur(Device& device, const Recur& a) noexcept {
  constexpr std::int64_t kColumns = 64;  // of a matrix, in one task
  const std::int64_t heads = a.v[1], values = a.v[2], parts = ceil_div(values, kColumns);
  spread(host::pool_of(device), a.batch.count * heads * parts, 3 * a.batch.rows * heads * a.k[2] * values,
         [&](std::int64_t i) noexcept {
           const std::int64_t begin = i % parts * kColumns;
           HWY_DYNAMIC_DISPATCH(recur_columns)
           (a, a.batch.sequences[i / parts / heads], i / parts % heads, begin, std::min(begin + kColumns, values));
         });
}

}  // namespace pkv::kernels::cpu
#endif
