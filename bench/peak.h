// What this machine can do, measured: the denominators of every other benchmark. Memory read bandwidth (the best of
// several access patterns over memory far larger than the caches) and the rate of fp32 multiply-adds, for the best
// instruction set that the cpu table uses, on the threads of a pool.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/pool.h"

namespace pkv::bench {

// Bytes that no cache holds, touched once so that their pages exist.
class Memory {
 public:
  explicit Memory(std::size_t bytes);
  const std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
};

// Wall clock; with `cpu_clock`, the processor time of this thread: for one thread on a machine that others use too.
extern bool cpu_clock;
double seconds();

// One measurement each, about 10 to 50 ms: GB/s read with all threads of the pool, by the pattern `streams` (how many
// rows each thread reads at once, interleaved).
double read_rate(WorkerPool& pool, const Memory& memory, int streams);
// The best of the patterns, once each.
double best_read_rate(WorkerPool& pool, const Memory& memory);
// 1e9 multiply-adds per second.
double fma_rate(WorkerPool& pool);
std::string instruction_set();

double median(std::vector<double> values);

}  // namespace pkv::bench
