// route, expert_linear and mix. An expert's product is what `linear` makes of its rows; those of few rows are made
// together, since each is too little to wake threads for. Row law: linear's own; mix goes along a row.
#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/experts.cc"
#include "hwy/foreach_target.h"
//
#include <vector>

#include "engine/kernels/cpu/lanes-inl.h"
#include "engine/kernels/cpu/table.h"
#include "engine/kernels/quantized.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

void mix_row(const Mix& a, Int r) {
  const float* weights = row(a.weights, r);
  const auto* places = a.places ? a.places.as<const std::int32_t>() + r * a.places.step(0) : nullptr;
  const float* add = a.add ? row(a.add, r) : nullptr;
  float* out = row(a.out, r);
  for_lanes(a.out[1], [&](auto d, Int i) HWY_ATTR {
    const auto part = [&](Int c) HWY_ATTR { return hn::LoadU(d, row(a.x, places != nullptr ? places[c] : r) + i); };
    auto sum = hn::Mul(hn::Set(d, weights[0]), part(0));
    for (Int c = 1; c < a.weights[1]; ++c) sum = hn::MulAdd(hn::Set(d, weights[c]), part(c), sum);
    if (add != nullptr) sum = hn::Add(hn::LoadU(d, add + i), sum);
    hn::StoreU(sum, d, out + i);
  });
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(mix_row);

void multiply_few(Device& device, std::span<const Linear> few) {
  if (few.empty()) return;
  if (!few[0].quantized) return linear_each(device, few);
  if (linear_quantized_each(device, few)) return;
  for (const Linear& each : few) linear_quantized(device, each);
}

}  // namespace

void route(Device& device, const Route& a) noexcept {
  const std::int64_t experts = a.scores[1];
  for_row_ranges(device, a.scores[0], experts * (8 + a.weights[1]), [&](std::int64_t first, std::int64_t n) {
    for (std::int64_t r = first; r < first + n; ++r) host::choose_experts(a, r);
  });
  host::group_by_expert(a);
}

void expert_linear(Device& device, const ExpertLinear& a) noexcept {
  std::vector<Linear> few;
  std::int64_t rows = 0;
  for (std::int64_t e = 0; e + 1 < a.starts[0]; ++e) {
    const Linear part = a.of(e);
    const std::int64_t n = part.x[0];
    if (n == 0) continue;
    if (n > kFewAtOnce) {
      linear(device, part);
      continue;
    }
    if (rows + n > QuantizedRows::kRows) {
      multiply_few(device, few);
      few.clear();
      rows = 0;
    }
    few.push_back(part);
    rows += n;
  }
  multiply_few(device, few);
}

void mix(Device& device, const Mix& a) noexcept {
  for_row_ranges(device, a.out[0], a.weights[1] * a.out[1], [&](std::int64_t first, std::int64_t n) {
    for (std::int64_t r = first; r < first + n; ++r) HWY_DYNAMIC_DISPATCH(mix_row)(a, r);
  });
}

}  // namespace pkv::kernels::cpu
#endif
