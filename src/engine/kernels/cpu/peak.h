// What this machine can do, measured: the denominators of every measurement. Memory read bandwidth (the best of
// several access patterns over memory far larger than the caches) and the rate of fp32 multiply-adds, for the best
// instruction set that the cpu table uses, on the threads of a pool.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/caches.h"
#include "base/clock.h"
#include "base/pool.h"
#include "engine/kernels/peak.h"

namespace pkv::kernels {
class Device;
}

namespace pkv::kernels::peak {

// Bytes that no cache holds, in huge pages where the system grants them, touched by all threads of the pool, so that
// their pages exist and lie near every socket that reads them.
class Memory {
 public:
  explicit Memory(WorkerPool& pool, std::size_t bytes = beyond_caches());
  ~Memory() { std::free(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  const float* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  float* data_;
};

// One measurement each, as long as reading the memory once takes (milliseconds): GB/s read with all threads of the
// pool, by one of the patterns: one stream, one with prefetching, 4 and 8 streams interleaved.
constexpr int kReadPatterns = 4;
double read_rate(WorkerPool& pool, const Memory& memory, int pattern, Clock clock = seconds);
// The best of the patterns, once each.
double best_read_rate(WorkerPool& pool, const Memory& memory, Clock clock = seconds);
// 1e9 multiply-adds per second.
double fma_rate(WorkerPool& pool, Clock clock = seconds);
// Of a host::Host, on its pool.
std::unique_ptr<Peak> open(Device& device, Clock clock);

}  // namespace pkv::kernels::peak
