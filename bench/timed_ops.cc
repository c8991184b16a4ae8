#include "bench/timed_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "bench/clock.h"
#include "engine/kernels/kernels.h"

namespace pkv::bench {
namespace {

using namespace kernels;

const Ops* real = nullptr;
std::map<std::pair<std::string_view, std::pair<std::int64_t, std::int64_t>>, OpTime> times;

std::pair<std::int64_t, std::int64_t> size_of_call(const Linear& a) {
  return a.quantized ? std::pair{a.x[1], a.out[1]} : std::pair{a.weight[1], a.weight[0]};
}
template <class Call>
std::pair<std::int64_t, std::int64_t> size_of_call(const Call&) {
  return {0, 0};
}

template <class Call>
void time_call(std::string_view name, void (*Ops::*op)(Device&, const Call&) noexcept, Device& device,
               const Call& call) {
  const double start = seconds();
  (real->*op)(device, call);
  OpTime& time = times[{name, size_of_call(call)}];
  time.seconds += seconds() - start;
  ++time.calls;
}

}  // namespace

kernels::Backend timed(const kernels::Backend& like) {
  static Ops table;
  real = &like.ops();
  table = *real;
  table.embed = [](Device& d, const Embed& c) noexcept { time_call("embed", &Ops::embed, d, c); };
  table.norm = [](Device& d, const Norm& c) noexcept { time_call("norm", &Ops::norm, d, c); };
  table.linear = [](Device& d, const Linear& c) noexcept { time_call("linear", &Ops::linear, d, c); };
  table.angles = [](Device& d, const Angles& c) noexcept { time_call("angles", &Ops::angles, d, c); };
  table.rotate = [](Device& d, const Rotate& c) noexcept { time_call("rotate", &Ops::rotate, d, c); };
  table.append = [](Device& d, const Append& c) noexcept { time_call("append", &Ops::append, d, c); };
  table.attend = [](Device& d, const Attend& c) noexcept { time_call("attend", &Ops::attend, d, c); };
  table.gate = [](Device& d, const Gate& c) noexcept { time_call("gate", &Ops::gate, d, c); };
  table.scale = [](Device& d, const Scale& c) noexcept { time_call("scale", &Ops::scale, d, c); };
  table.add = [](Device& d, const Add& c) noexcept { time_call("add", &Ops::add, d, c); };
  table.pick = [](Device& d, const Pick& c) noexcept { time_call("pick", &Ops::pick, d, c); };
  return kernels::Backend(table, like);
}

std::vector<OpTime> take_times() {
  std::vector<OpTime> all;
  for (auto& [key, time] : std::exchange(times, {})) {
    const auto [in, out] = key.second;
    time.what = out == 0 ? std::string(key.first) : fmt::format("{} {} x {}", key.first, in, out);
    all.push_back(std::move(time));
  }
  std::ranges::sort(all, std::greater(), &OpTime::seconds);
  return all;
}

}  // namespace pkv::bench
