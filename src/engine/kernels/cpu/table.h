// The operations of the cpu table; bound together in cpu.cc.
#pragma once

#include <algorithm>

#include "engine/kernels/host.h"

namespace pkv::kernels::cpu {

void embed(Device&, const Embed&) noexcept;
void norm(Device&, const Norm&) noexcept;
void linear(Device&, const Linear&) noexcept;
void angles(Device&, const Angles&) noexcept;
void rotate(Device&, const Rotate&) noexcept;
void append(Device&, const Append&) noexcept;
void attend(Device&, const Attend&) noexcept;
void convolve(Device&, const Convolve&) noexcept;
void recur(Device&, const Recur&) noexcept;
void gate(Device&, const Gate&) noexcept;
void scale(Device&, const Scale&) noexcept;
void add(Device&, const Add&) noexcept;
void route(Device&, const Route&) noexcept;
void expert_linear(Device&, const ExpertLinear&) noexcept;
void mix(Device&, const Mix&) noexcept;
void pick(Device&, const Pick&) noexcept;
void convert(Device&, const Convert&) noexcept;
void encode(Device&, const Encode&) noexcept;
void decode(Device&, const Decode&) noexcept;
void linear_quantized(Device&, const Linear&) noexcept;

// Products of few rows each by matrices of one shape and number format, as `linear` would make each of them, all at
// once: so that threads wait for each other once. At most kFewAtOnce rows of one product; quantised, `at_once` rows of
// all together.
constexpr std::int64_t kFewAtOnce = 4;
void linear_each(Device&, std::span<const Linear> few) noexcept;
bool linear_quantized_each(Device&, std::span<const Linear> few) noexcept;  // false: not done, there is no such kernel

#if defined(__x86_64__) || defined(__i386__)
inline bool runs_on_amd() { return __builtin_cpu_is("amd") != 0; }
inline bool runs_on_family_19h() { return __builtin_cpu_is("amdfam19h") != 0; }  // Zen 3 and 4
#else
inline bool runs_on_amd() { return false; }
inline bool runs_on_family_19h() { return false; }
#endif

inline float* row(const View& v, std::int64_t r) { return v.as<float>() + r * v.step(0); }
constexpr std::int64_t ceil_div(std::int64_t n, std::int64_t d) { return (n + d - 1) / d; }

// Rows [first, first + count) of a call.
inline Linear rows_of(const Linear& a, std::int64_t first, std::int64_t count) {
  Linear part = a;
  part.x = a.x.rows(first, count);
  part.out = a.out.rows(first, count);
  if (a.add) part.add = a.add.rows(first, count);
  return part;
}

// Calls body(i) for each i in [0, count): on the pool, or here when `work` (multiply-adds in all, about) is less than
// waking the workers costs.
template <class Body>
void spread(WorkerPool& pool, std::int64_t count, std::int64_t work, const Body& body) noexcept {
  constexpr std::int64_t kWorthWaking = 1 << 16;
  if (count > 1 && work >= kWorthWaking) return pool.parallel_for(count, body);
  for (std::int64_t i = 0; i < count; ++i) body(i);
}

// Calls body(first, count) on ranges that cover [0, rows); `cost`: elements touched in one row.
template <class Body>
void for_row_ranges(Device& device, std::int64_t rows, std::int64_t cost, const Body& body) noexcept {
  constexpr std::int64_t kElementsPerTask = 16384;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementsPerTask / std::max<std::int64_t>(cost, 1));
  spread(host::pool_of(device), ceil_div(rows, grain), 4 * rows * cost,
         [&](std::int64_t i) noexcept { body(i * grain, std::min(grain, rows - i * grain)); });
}

}  // namespace pkv::kernels::cpu
