#include "engine/kernels/host.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "engine/kernels/cpu/peak.h"

namespace pkv::kernels::host {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20, kLarge = 2 * kHugePage, kLine = 64;

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

Store::~Store() {
  for (const auto& [size, memory] : spare_) std::free(memory);
}

void* Store::take(std::size_t bytes) noexcept try {
  if (bytes > SIZE_MAX / 2) return nullptr;
  if (bytes < kLarge) return std::aligned_alloc(kLine, round_up(std::max<std::size_t>(bytes, 1), kLine));
  const std::size_t size = round_up(bytes, kHugePage);
  const std::lock_guard lock(mutex_);
  if (const auto found = spare_.find(size); found != spare_.end()) {
    void* memory = found->second;
    sizes_.emplace(memory, size);
    spare_bytes_ -= size;
    spare_.erase(found);
    return memory;
  }
  void* memory = std::aligned_alloc(kHugePage, size);
  if (memory == nullptr) return nullptr;
  ::madvise(memory, size, MADV_HUGEPAGE);  // a wish: it may fail
  try {
    sizes_.emplace(memory, size);
  } catch (...) {
    std::free(memory);
    return nullptr;
  }
  return memory;
} catch (...) {
  return nullptr;
}

void Store::give(void* memory) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = sizes_.find(memory);
  if (found == sizes_.end()) return std::free(memory);
  const std::size_t size = found->second;
  sizes_.erase(found);
  if (spare_bytes_ + size > kMostSpare) return std::free(memory);
  try {
    spare_.emplace(size, memory);
    spare_bytes_ += size;
  } catch (...) {
    std::free(memory);
  }
}

namespace {

void* allocate(Device& device, std::size_t bytes) noexcept { return static_cast<Host&>(device).store.take(bytes); }
void release(Device& device, void* memory) noexcept { static_cast<Host&>(device).store.give(memory); }
void* place(Device&, View&) noexcept { return nullptr; }
void* pack(Device&, View&) noexcept { return nullptr; }
void* pack_quantized(Device&, quant::Matrix&) noexcept { return nullptr; }
void copy(Device&, void* to, const void* from, std::size_t bytes) noexcept { std::memcpy(to, from, bytes); }
std::string wait(Device&) { return {}; }
Batch begin(Device&, std::span<const Sequence> sequences, void* memory) noexcept {
  return write_batch(sequences, memory, memory);
}
void run(Device&, const Key&, const std::function<void()>& body) { body(); }

}  // namespace

const MemoryOps kMemory{.of_host = true,
                        .allocate = allocate,
                        .release = release,
                        .place = place,
                        .pack = pack,
                        .pack_quantized = pack_quantized,
                        .upload = copy,
                        .copy = copy,
                        .download = copy,
                        .wait = wait,
                        .begin = begin,
                        .run = run,
                        .peak = peak::open};

}  // namespace pkv::kernels::host
