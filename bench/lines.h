// An op at a shape: checked against naive, then timed in turn with the peak of this machine, and printed as a line.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/pool.h"
#include "bench/clock.h"
#include "bench/ops.h"
#include "engine/kernels/kernels.h"

namespace pkv::bench {

constexpr std::size_t kCold = std::size_t{640} << 20;  // bytes of weights or past to cycle through

struct Machine {
  const kernels::Ops& ops = kernels::table("cpu");
  std::unique_ptr<kernels::Device> device;
  std::unique_ptr<kernels::Peak> peak;
  explicit Machine(int threads) : device(ops.open(threads)), peak(ops.memory.peak(*device, bench::seconds)) {}
};

struct Line {
  std::string op, shape;
  double bytes = 0, fmas = 0;  // of one call; the share is of the read rate when bytes are given
  std::function<void(int round)> call;
};

// Was it asked for?
bool wanted(const OpOptions& o, std::string_view op, std::string_view shape);

void print_head(const OpOptions& o);

// In rounds: peak, op, peak, op, ...
void time_line(Machine& m, const OpOptions& o, const Line& line, nlohmann::json& out);

// Both dense in their last dimension; `within` 0: the same bits. Ends the program where they differ.
void compare(const std::string& what, const View& got, const View& want, float within);

}  // namespace pkv::bench
