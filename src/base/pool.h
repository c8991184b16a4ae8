// A pool of worker threads for loops whose iterations are independent. Workers spin briefly for the next loop, then
// sleep. No allocation and no lock inside a loop. Which thread runs which iteration is left open, so a loop's results
// must not depend on it. A loop started while another runs (nested, or from a second thread) runs on its caller alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace pkv {

// Processor cores this process may run on, hyper-threads of one core counted once. At least 1.
int physical_cores();

// Threads that can run at once: hyper-threads counted each. At least 1.
int processors();

class WorkerPool {
 public:
  // `threads` >= 1 counts the caller too; 0 means physical_cores(). Error::usage when the system cannot start them.
  explicit WorkerPool(int threads = 0);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(i) once for each i in [0, count) and returns when all are done. The body must not throw.
  template <class Body>
  void parallel_for(std::int64_t count, Body&& body) noexcept {
    static_assert(std::is_nothrow_invocable_v<Body&, std::int64_t>, "the body of a parallel loop must be noexcept");
    using Plain = std::remove_reference_t<Body>;
    run(
        count, [](void* context, std::int64_t i) noexcept { (*static_cast<Plain*>(context))(i); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void* context, std::int64_t index) noexcept;

  void run(std::int64_t count, Call call, void* context) noexcept;
  void drain() noexcept;
  void live() noexcept;
  void stop() noexcept;

  // The loop under way: written by the caller before it raises `epoch_`, read by workers after they see it.
  Call call_ = nullptr;
  void* context_ = nullptr;
  std::int64_t count_ = 0;

  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  alignas(64) std::atomic<std::int64_t> next_{0};
  alignas(64) std::atomic<std::uint32_t> finished_{0};
  alignas(64) std::atomic<bool> busy_{false};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace pkv
