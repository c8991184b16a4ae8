// What every table that works in host memory shares: its device is a worker pool, its memory the heap. Included by the
// tables themselves only.
#pragma once

#include <cstring>
#include <memory>
#include <new>
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

inline void* allocate(Device&, std::size_t bytes) noexcept {
  return ::operator new(bytes, std::align_val_t(64), std::nothrow);
}
inline void release(Device&, void* memory) noexcept { ::operator delete(memory, std::align_val_t(64)); }
inline View place(Device&, const View& host) { return host; }
inline void copy(Device&, void* to, const void* from, std::size_t bytes) noexcept { std::memcpy(to, from, bytes); }

}  // namespace pkv::kernels::host
