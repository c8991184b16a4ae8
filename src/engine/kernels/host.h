// What every table that works in the host's memory shares: its device is a worker pool and a store of large pieces of
// memory, and its memory verbs are kMemory. Included by the tables themselves only.
#pragma once

#include <cstddef>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/pool.h"
#include "engine/kernels/kernels.h"

namespace pkv::kernels::host {

// Large pieces begin at a huge page and ask for huge pages, which spare most misses of the address translation. Those
// released are kept for the next that asks for the same size, up to kMostSpare bytes: fresh memory costs more to clear,
// page by page, than a block of the past costs to fill.
class Store {
 public:
  static constexpr std::size_t kMostSpare = std::size_t{256} << 20;

  Store() = default;
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  void* take(std::size_t bytes) noexcept;  // null when there is no memory left
  void give(void* memory) noexcept;

 private:
  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> sizes_;  // of the large pieces that are in use
  std::multimap<std::size_t, void*> spare_;
  std::size_t spare_bytes_ = 0;
};

class Host : public Device {
 public:
  Host(std::string name, int threads) : pool(threads), name_(std::move(name)) {}
  std::string describe() const override {
    return name_ + ", " + std::to_string(pool.threads()) + (pool.threads() == 1 ? " thread" : " threads");
  }
  WorkerPool pool;
  Store store;

 private:
  std::string name_;
};

inline WorkerPool& pool_of(Device& device) { return static_cast<Host&>(device).pool; }

inline std::span<const Sequence> sequences(const Batch& batch) {
  return {batch.sequences, static_cast<std::size_t>(batch.count)};
}

extern const MemoryOps kMemory;
std::size_t linear_scratch(const quant::Matrix& matrix, std::int64_t rows) noexcept;

// The parts of `route`: each row by itself, whose experts stand in `places` until `group` has gone through all rows.
void choose_experts(const Route& a, std::int64_t row) noexcept;
void group_by_expert(const Route& a) noexcept;

}  // namespace pkv::kernels::host
