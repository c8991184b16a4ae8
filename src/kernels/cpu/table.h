// The operations of the cpu table, one source file each; bound together in cpu.cc.
#pragma once

#include <algorithm>

#include "kernels/host.h"

namespace pkv::kernels::cpu {

void embed(Device&, const Embed&) noexcept;
void norm(Device&, const Norm&) noexcept;
void linear(Device&, const Linear&) noexcept;
void angles(Device&, const Angles&) noexcept;
void rotate(Device&, const Rotate&) noexcept;
void append(Device&, const Append&) noexcept;
void attend(Device&, const Attend&) noexcept;
void pick(Device&, const Pick&) noexcept;

// The set in use: "AVX2".
const char* instruction_set();

inline float* row(const View& v, std::int64_t r) { return v.as<float>() + r * v.step(0); }
constexpr std::int64_t ceil_div(std::int64_t n, std::int64_t d) { return (n + d - 1) / d; }

// Calls body(first, count) on ranges that cover [0, rows), in parallel when a row's `cost` (elements touched) makes it
// worth waking the workers.
template <class Body>
void for_row_ranges(Device& device, std::int64_t rows, std::int64_t cost, const Body& body) noexcept {
  constexpr std::int64_t kElementsPerTask = 16384;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementsPerTask / std::max<std::int64_t>(cost, 1));
  if (rows <= grain) {
    if (rows > 0) body(std::int64_t{0}, rows);
    return;
  }
  host::pool_of(device).parallel_for(
      ceil_div(rows, grain), [&](std::int64_t i) noexcept { body(i * grain, std::min(grain, rows - i * grain)); });
}

}  // namespace pkv::kernels::cpu
