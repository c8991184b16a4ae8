#include "engine/kernels/host.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

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

}  // namespace pkv::kernels::host
