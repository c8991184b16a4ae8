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
void embed_row(const Embed& a, Int r) {
  const T* from = a.table.as<const T>() + a.ids.as<const std::int32_t>()[r] * a.table.step(0);
  float* out = row(a.out, r);
  for_lanes(a.out[1], [&](auto d, Int i) HWY_ATTR {
    auto x = widen(d, from + i);
    if (a.add) x = hn::Add(hn::LoadU(d, out + i), x);
    hn::StoreU(x, d, out + i);
  });
}

void embed_rows(const Embed& a, Int first, Int count) {
  for (Int r = first; r < first + count; ++r) {
    if (a.table.dtype == DType::f16) {
      embed_row<f16>(a, r);
    } else if (a.table.dtype == DType::bf16) {
      embed_row<bf16>(a, r);
    } else {
      embed_row<float>(a, r);
    }
  }
}

// Two passes: the mean, then the squares of the distances to it.
void norm_row(const Norm& a, Int r) {
  const Floats d;
  const Int n = a.x[1], whole = n / kLanes * kLanes;
  const float* x = row(a.x, r);
  float* out = row(a.out, r);
  Vec sum = hn::Zero(d);
  for (Int i = 0; i < whole; i += kLanes) sum = hn::Add(sum, hn::LoadU(d, x + i));
  if (whole < n) sum = hn::Add(sum, widen_first(n - whole, x + whole));
  const float mean = hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<float>(n);

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

  const float* weight = a.weight.as<const float>();
  const float* bias = a.bias.as<const float>();
  for_lanes(n, [&](auto dd, Int i) HWY_ATTR {
    const auto y =
        hn::Mul(hn::Mul(hn::Sub(hn::LoadU(dd, x + i), hn::Set(dd, mean)), hn::Set(dd, scale)), widen(dd, weight + i));
    hn::StoreU(bias != nullptr ? hn::Add(y, widen(dd, bias + i)) : y, dd, out + i);
  });
}

void norm_rows(const Norm& a, Int first, Int count) {
  for (Int r = first; r < first + count; ++r) norm_row(a, r);
}

void rotate_rows(const Rotate& a, Int first, Int count) {
  const Int half = a.cos[1];
  for (Int r = first; r < first + count; ++r) {
    const float *cos = row(a.cos, r), *sin = row(a.sin, r);
    for (Int h = 0; h < a.x[1] * a.x[2]; ++h) {
      float* x = row(a.x, r) + (h / a.x[2]) * a.x.step(1) + (h % a.x[2]) * a.x.step(2);
      for_lanes(half, [&](auto d, Int i) HWY_ATTR {
        const auto low = hn::LoadU(d, x + i), high = hn::LoadU(d, x + half + i);
        const auto c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
        hn::StoreU(hn::NegMulAdd(high, s, hn::Mul(low, c)), d, x + i);
        hn::StoreU(hn::MulAdd(low, s, hn::Mul(high, c)), d, x + half + i);
      });
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
  for_row_ranges(device, a.x[0], a.x[1], [&](std::int64_t first, std::int64_t n) {
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
