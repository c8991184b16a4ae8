#include "bench/lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/clock.h"

namespace pkv::bench {

bool wanted(const OpOptions& o, std::string_view op, std::string_view shape) {
  return o.only.empty() || fmt::format("{} {}", op, shape).find(o.only) != std::string::npos;
}

void print_head(const OpOptions& o) {
  if (!o.json) fmt::print("| op | shape | us | rate | peak | share | best |\n|---|---|---|---|---|---|---|\n");
}

void time_line(Machine& m, const OpOptions& o, const Line& line, nlohmann::json& out) {
  if (!wanted(o, line.op, line.shape)) return;
  line.call(0);
  double once = seconds();
  line.call(1);
  once = seconds() - once;
  const int calls = std::max(1, static_cast<int>(0.01 / std::max(once, 1e-7)));
  const bool memory_bound = line.bytes > 0;
  std::vector<double> peaks, rates, shares, times;
  int round = 2;
  for (const double end = seconds() + o.seconds; seconds() < end || rates.size() < 5;) {
    const auto measure_peak = [&] { return 1e-9 * (memory_bound ? m.peak->read_rate() : m.peak->fma_rate()); };
    const double before = measure_peak();
    const double start = seconds();
    for (int i = 0; i < calls; ++i) line.call(round++);
    const double time = (seconds() - start) / calls;
    const double peak = (before + measure_peak()) / 2;
    const double rate = (memory_bound ? line.bytes : line.fmas) * 1e-9 / time;
    peaks.push_back(peak);
    rates.push_back(rate);
    shares.push_back(rate / peak);
    times.push_back(time);
  }
  const double us = median(times) * 1e6, rate = median(rates), peak = median(peaks), share = median(shares);
  // On a machine that others use too, the best round says more: the least disturbed op over the least disturbed peak.
  const double best = *std::max_element(rates.begin(), rates.end()) / *std::max_element(peaks.begin(), peaks.end());
  if (o.json) {
    out.push_back({{"op", line.op},
                   {"shape", line.shape},
                   {"us", us},
                   {"unit", memory_bound ? "GB/s" : "1e9 multiply-adds/s"},
                   {"rate", rate},
                   {"peak", peak},
                   {"share", share},
                   {"best_share", best}});
  } else {
    fmt::print("| {} | {} | {:.1f} | {:.1f} {} | {:.1f} | {:.2f} | {:.2f} |\n", line.op, line.shape, us, rate,
               memory_bound ? "GB/s" : "G/s", peak, share, best);
    std::fflush(stdout);
  }
}

namespace {

[[noreturn]] void wrong(const std::string& what) {
  fmt::print(stderr, "bench_kernels: {} differs from naive; not timed\n", what);
  std::exit(1);
}

}  // namespace

void compare(const std::string& what, const View& got, const View& want, float within) {
  if (within == 0) {
    if (std::memcmp(got.data, want.data, want.bytes()) != 0) wrong(what);
    return;
  }
  for (std::int64_t r = 0; r < want[0]; ++r) {
    for (std::int64_t c = 0; c < want.elements() / want[0]; ++c) {
      const float a = got.as<float>()[r * got.step(0) + c], b = want.as<float>()[r * want.step(0) + c];
      if (!(std::fabs(a - b) < within)) wrong(what);
    }
  }
}

}  // namespace pkv::bench
