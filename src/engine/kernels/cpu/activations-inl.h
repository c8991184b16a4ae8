// Rows of activations as integers, for quantised weights. Included once per instruction set, inside foreach_target.
#include <cmath>
#include <limits>
#include <utility>

#include "engine/kernels/cpu/dots-inl.h"
#include "engine/kernels/cpu/four_bits-inl.h"
#include "engine/kernels/cpu/table.h"
#include "engine/kernels/quantized.h"

#if defined(PKV_KERNELS_CPU_ACTIVATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_ACTIVATIONS_INL_H_
#undef PKV_KERNELS_CPU_ACTIVATIONS_INL_H_
#else
#define PKV_KERNELS_CPU_ACTIVATIONS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// The largest magnitude; NaN when there is a NaN or an infinity.
HWY_INLINE float most_of(const float* x, Int n) {
  const Floats d;
  Vec most = hn::Zero(d), poison = hn::Zero(d);
  Int i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec v = hn::LoadU(d, x + i);
    most = hn::Max(most, hn::Abs(v));
    poison = hn::Add(poison, hn::Sub(v, v));
  }
  alignas(64) float lanes[2][kLanes];
  hn::Store(most, d, lanes[0]);
  hn::Store(poison, d, lanes[1]);
  float top = 0, bad = 0;
  for (Int l = 0; l < kLanes; ++l) top = std::max(top, lanes[0][l]), bad += lanes[1][l];
  for (; i < n; ++i) top = std::max(top, std::fabs(x[i])), bad += x[i] - x[i];
  return bad == 0 ? top : kNaN;
}

// For weights of 4 bits: integers below 2^14 and a scale for each span, in the order of the unpacked weights.
template <Int C>
HWY_NOINLINE void spans_of(const float* x, Int in, float unit, Word* codes, float* scales) {
  constexpr float kTop = 16383, kLeast = 1e-30f;
  alignas(64) Word words[QuantizedRows::kSpan];
  for (Int k = 0; k < in; k += QuantizedRows::kSpan) {
    const Int n = std::min(QuantizedRows::kSpan, in - k);
    const float most = most_of(x + k, n);
    *scales++ = most / kTop * unit;
    if (!(most >= kLeast)) {  // nothing, or not a number
      std::fill(codes + k, codes + k + n, Word{0});
      if (most < kLeast) scales[-1] = 0;
      continue;
    }
    round_all(x + k, n, kTop / most, words);
    for (Int c = 0; c < n; c += C) {
      for (Int i = 0; i < C; ++i) codes[k + c + i] = words[c + element_at<C>(i)];
    }
  }
}

// What the int8 product needs to know of a row.
struct Int8Row {
  float scale = 0;       // value = code * scale
  std::int32_t sum = 0;  // of the codes
  std::int32_t outliers = 0;
};

// values = x, rounded to fp16. Gives the largest magnitude below `limit` and the largest of all; NaN where there is
// one.
HWY_NOINLINE std::pair<float, float> halves_of(const float* x, Int in, float limit, float* values) {
  float most = 0, largest = 0;
  round_to_half(x, in, values);
  const Floats d;
  Vec below = hn::Zero(d), all = hn::Zero(d), poison = hn::Zero(d);
  Int i = 0;
  for (; i + kLanes <= in; i += kLanes) {
    const Vec v = hn::Abs(hn::LoadU(d, values + i));
    below = hn::Max(below, hn::IfThenElseZero(hn::Lt(v, hn::Set(d, limit)), v));
    all = hn::Max(all, v);
    poison = hn::Add(poison, hn::Mul(v, hn::Zero(d)));  // of an infinity too; settled below
  }
  alignas(64) float lanes[3][kLanes];
  hn::Store(below, d, lanes[0]);
  hn::Store(all, d, lanes[1]);
  hn::Store(poison, d, lanes[2]);
  bool odd = false;
  for (Int l = 0; l < kLanes; ++l) {
    most = std::max(most, lanes[0][l]), largest = std::max(largest, lanes[1][l]);
    odd |= std::isnan(lanes[2][l]);
  }
  for (; i < in; ++i) {
    const float v = std::fabs(values[i]);
    if (v < limit) most = std::max(most, v);
    largest = std::max(largest, v);
    odd |= std::isnan(v * 0);
  }
  if (odd) {
    largest = std::numeric_limits<float>::infinity();
    if (std::any_of(values, values + in, [](float v) { return std::isnan(v); })) largest = kNaN;
  }
  return {most, largest};
}

// For int8 weights: see quant::Activations. `values` is room for a row; on return it begins with the outliers' values.
// T is the type of the codes.
template <class T>
HWY_NOINLINE Int8Row codes_of(const float* x, Int in, float threshold, const std::uint8_t* flags, T* codes,
                              std::int32_t* columns, float* values) {
  const float limit = threshold > 0 ? threshold : std::numeric_limits<float>::infinity();
  const auto [most, largest] = halves_of(x, in, limit, values);
  Int8Row row{.scale = most / 127};
  const float factor = most > 0 ? 127 / most : 0;
  if (std::isnan(largest) || (threshold <= 0 && std::isinf(largest))) {
    row.scale = kNaN;
    std::fill(codes, codes + in, T{0});
  } else if (largest < limit && flags == nullptr) {
    round_all(values, in, factor, codes);
  } else {
    for (Int i = 0; i < in; ++i) {
      const float v = values[i];
      const bool own = !(std::fabs(v) < limit), out = flags == nullptr ? own : flags[i] != 0;
      codes[i] = own || out ? T{0} : static_cast<T>(std::nearbyint(v * factor));
      if (!out) continue;
      columns[row.outliers] = static_cast<std::int32_t>(i);
      values[row.outliers++] = v;
    }
  }
  if constexpr (sizeof(T) == 1) {
    for (Int i = 0; i < in; ++i) row.sum += codes[i];
  }
  return row;
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
