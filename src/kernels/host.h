// What every table that works in host memory shares: its device is a worker pool, its memory the heap. Included by the
// tables themselves only.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "base/pool.h"
#include "kernels/kernels.h"

namespace pkv::kernels::host {

class Host : public Device {
 public:
  Host(std::string name, int threads) : pool(threads), name_(std::move(name)) {}
  std::string describe() const override {
    return name_ + ", " + std::to_string(pool.threads()) + (pool.threads() == 1 ? " thread" : " threads");
  }
  WorkerPool pool;

 private:
  std::string name_;
};

inline WorkerPool& pool_of(Device& device) { return static_cast<Host&>(device).pool; }

// Large pieces begin at a huge page and ask for huge pages, which spare most of the misses of the address translation.
inline void* allocate(Device&, std::size_t bytes) noexcept {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
  if (bytes > SIZE_MAX - alignment) return nullptr;
  const std::size_t size = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, size);
  if (memory != nullptr && alignment == kHugePage) ::madvise(memory, size, MADV_HUGEPAGE);  // a wish: it may fail
  return memory;
}
inline void release(Device&, void* memory) noexcept { std::free(memory); }
inline View place(Device&, const View& host) { return host; }
inline void copy(Device&, void* to, const void* from, std::size_t bytes) noexcept { std::memcpy(to, from, bytes); }

}  // namespace pkv::kernels::host
