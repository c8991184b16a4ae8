// Operations on single rows: embed, norm, rotate. Row law: a row's sums run over its own elements, one vector
// accumulator in steps of whole vectors (the last padded with zeros), folded by Highway's fixed tree.
#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/norm.cc"
#include "hwy/foreach_target.h"
//
#include <cmath>

#include "engine/kernels/cpu/lanes-inl.h"
#include "engine/kernels/cpu/table.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T>
void embed_part(const Embed& a, const T* from, Int n, float* out) {
  for_lanes(n, [&](auto d, Int i) HWY_ATTR {
    auto x = widen(d, from + i);
    if (a.scale != 1) x = hn::Mul(x, hn::Set(d, a.scale));
    if (a.add) x = hn::Add(hn::LoadU(d, out + i), x);
    hn::StoreU(x, d, out + i);
  });
}

template <class T>
void embed_row(const Embed& a, Int r) {
  const T* from = a.table.as<const T>() + a.ids.as<const std::int32_t>()[r] * a.table.step(0);
  embed_part(a, from, a.out[1], row(a.out, r));
}

void embed_quantized_row(const Embed& a, Int r) {
  constexpr Int kAtOnce = quant::kMostInBlock;
  float values[kAtOnce];
  for (Int first = 0; first < a.out[1]; first += kAtOnce) {
    const Int n = std::min(kAtOnce, a.out[1] - first);
    quant::decode(a.quantized, a.ids.as<const std::int32_t>()[r], first, {values, static_cast<std::size_t>(n)});
    embed_part(a, values, n, row(a.out, r) + first);
  }
}

void embed_rows(const Embed& a, Int first, Int count) {
  for (Int r = first; r < first + count; ++r) {
    if (a.quantized) {
      embed_quantized_row(a, r);
    } else if (a.table.dtype == DType::f16) {
      embed_row<f16>(a, r);
    } else if (a.table.dtype == DType::bf16) {
      embed_row<bf16>(a, r);
    } else {
      embed_row<float>(a, r);
    }
  }
}

// A row, or a group of one. Two passes: the mean (0 when not centred), then the squares of the distances to it.
void norm_group(const Norm& a, Int n, const float* x, const float* weight, const float* bias, float* out) {
  const Floats d;
  const Int whole = n / kLanes * kLanes;
  float mean = 0;
  if (a.centred) {
    Vec sum = hn::Zero(d);
    for (Int i = 0; i < whole; i += kLanes) sum = hn::Add(sum, hn::LoadU(d, x + i));
    if (whole < n) sum = hn::Add(sum, widen_first(n - whole, x + whole));
    mean = hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<float>(n);
  }

  const Vec middle = hn::Set(d, mean);
  Vec squares = hn::Zero(d);
  for (Int i = 0; i < whole; i += kLanes) {
    const Vec away = hn::Sub(hn::LoadU(d, x + i), middle);
    squares = hn::MulAdd(away, away, squares);
  }
  if (whole < n) {
    const auto inside = hn::FirstN(d, static_cast<std::size_t>(n - whole));
    const Vec away = hn::IfThenElseZero(inside, hn::Sub(widen_first(n - whole, x + whole), middle));
    squares = hn::MulAdd(away, away, squares);
  }
  const float variance = hn::GetLane(hn::SumOfLanes(d, squares)) / static_cast<float>(n);
  const float scale = 1 / std::sqrt(variance + a.eps);

  for_lanes(n, [&](auto dd, Int i) HWY_ATTR {
    auto y = hn::Mul(hn::Sub(hn::LoadU(dd, x + i), hn::Set(dd, mean)), hn::Set(dd, scale));
    if (weight != nullptr) y = hn::Mul(y, widen(dd, weight + i));
    hn::StoreU(bias != nullptr ? hn::Add(y, widen(dd, bias + i)) : y, dd, out + i);
  });
}

void norm_rows(const Norm& a, Int first, Int count) {
  const bool grouped = a.x.rank == 3;
  const Int groups = grouped ? a.x[1] : 1, n = a.x[a.x.rank - 1];
  const Int x_step = grouped ? a.x.step(1) : 0, out_step = grouped ? a.out.step(1) : 0;
  const Int weight_step = a.weight.rank == 2 ? a.weight.step(0) : 0;
  const Int bias_step = a.bias.rank == 2 ? a.bias.step(0) : 0;
  const float *weight = a.weight.as<const float>(), *bias = a.bias.as<const float>();
  for (Int r = first; r < first + count; ++r) {
    for (Int g = 0; g < groups; ++g) {
      norm_group(a, n, row(a.x, r) + g * x_step, weight == nullptr ? nullptr : weight + g * weight_step,
                 bias == nullptr ? nullptr : bias + g * bias_step, row(a.out, r) + g * out_step);
    }
  }
}

void rotate_halves(float* x, const float* cos, const float* sin, Int pairs) {
  for_lanes(pairs, [&](auto d, Int i) HWY_ATTR {
    const auto low = hn::LoadU(d, x + i), high = hn::LoadU(d, x + pairs + i);
    const auto c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
    hn::StoreU(hn::NegMulAdd(high, s, hn::Mul(low, c)), d, x + i);
    hn::StoreU(hn::MulAdd(low, s, hn::Mul(high, c)), d, x + pairs + i);
  });
}

void rotate_neighbours(float* x, const float* cos, const float* sin, Int pairs) {
  for_lanes(pairs, [&](auto d, Int i) HWY_ATTR {
    hn::Vec<decltype(d)> low, high;
    hn::LoadInterleaved2(d, x + 2 * i, low, high);
    const auto c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
    hn::StoreInterleaved2(hn::NegMulAdd(high, s, hn::Mul(low, c)), hn::MulAdd(low, s, hn::Mul(high, c)), d, x + 2 * i);
  });
}

void rotate_rows(const Rotate& a, Int first, Int count) {
  const Int pairs = a.cos[1];
  for (Int r = first; r < first + count; ++r) {
    const float *cos = row(a.cos, r), *sin = row(a.sin, r);
    for (Int h = 0; h < a.x[1] * a.x[2]; ++h) {
      float* x = row(a.x, r) + (h / a.x[2]) * a.x.step(1) + (h % a.x[2]) * a.x.step(2);
      a.neighbours ? rotate_neighbours(x, cos, sin, pairs) : rotate_halves(x, cos, sin, pairs);
    }
  }
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(embed_rows);
HWY_EXPORT(norm_rows);
HWY_EXPORT(rotate_rows);
}  // namespace

void embed(Device& device, const Embed& a) noexcept {
  for_row_ranges(device, a.out[0], a.out[1], [&](std::int64_t first, std::int64_t n) {
    HWY_DYNAMIC_DISPATCH(embed_rows)(a, first, n);
  });
}

void norm(Device& device, const Norm& a) noexcept {
  const std::int64_t elements = a.x.rank == 3 ? a.x[1] * a.x[2] : a.x[1];
  for_row_ranges(device, a.x[0], elements, [&](std::int64_t first, std::int64_t n) {
    HWY_DYNAMIC_DISPATCH(norm_rows)(a, first, n);
  });
}

void rotate(Device& device, const Rotate& a) noexcept {
  for_row_ranges(device, a.x[0], a.x[1] * a.x[2] * a.x[3], [&](std::int64_t first, std::int64_t n) {
    HWY_DYNAMIC_DISPATCH(rotate_rows)(a, first, n);
  });
}

}  // namespace pkv::kernels::cpu
#endif
