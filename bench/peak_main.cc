// bench_peak: memory read bandwidth and fp32 multiply-add rate of this machine, one thread and all. Markdown on stdout,
// or JSON.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bench/clock.h"
#include "bench/options.h"
#include "engine/kernels/cpu/instruction_set.h"
#include "engine/kernels/cpu/peak.h"

int main(int argc, char** argv) {
  using namespace pkv;
  const bool json = bench::Options("bench_peak [--output json]\n", argc, argv).json();
  WorkerPool all;
  const kernels::peak::Memory memory(all);
  nlohmann::json rows = nlohmann::json::array();
  if (!json) fmt::print("| threads | instructions | read GB/s | 1e9 multiply-adds/s |\n|---|---|---|---|\n");
  for (const int threads : {1, physical_cores()}) {
    WorkerPool pool(threads);
    std::vector<double> read, fma;
    for (int i = 0; i < 9; ++i) {
      read.push_back(kernels::peak::best_read_rate(pool, memory));
      fma.push_back(kernels::peak::fma_rate(pool));
    }
    if (json) {
      rows.push_back({{"threads", threads},
                      {"instructions", kernels::cpu::instruction_set()},
                      {"read_gb_per_s", bench::median(read)},
                      {"fma_g_per_s", bench::median(fma)}});
    } else {
      fmt::print("| {} | {} | {:.1f} | {:.1f} |\n", threads, kernels::cpu::instruction_set(), bench::median(read),
                 bench::median(fma));
    }
  }
  if (json) fmt::print("{}\n", rows.dump(2));
}
