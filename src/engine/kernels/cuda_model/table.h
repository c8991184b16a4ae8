// What the sources of this table share.
#pragma once

#include "base/pool.h"
#include "engine/kernels/host.h"
#include "engine/kernels/kernels.h"

namespace pkv::kernels::cuda_model {

void linear(Device& device, const Linear& a) noexcept;
void attend(Device& device, const Attend& a) noexcept;
void convolve(Device& device, const Convolve& a) noexcept;
void recur(Device& device, const Recur& a) noexcept;

inline float* row(const View& v, std::int64_t r) { return v.as<float>() + r * v.step(0); }

// Calls body(i) for each i in [0, count): on all threads where `work`, in products, is more than waking them.
template <class Body>
void spread(Device& device, std::int64_t count, std::int64_t work, const Body& body) noexcept {
  constexpr std::int64_t kLittle = 50'000;
  for (std::int64_t i = 0; work < kLittle && i < count; ++i) body(i);
  if (work >= kLittle) host::pool_of(device).parallel_for(count, [&](std::int64_t i) noexcept { body(i); });
}

}  // namespace pkv::kernels::cuda_model
