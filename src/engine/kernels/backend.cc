#include "engine/kernels/backend.h"

#include "base/error.h"

namespace pkv::kernels {

Memory::Memory(Backend backend, std::size_t bytes)
    : backend_(std::make_unique<Backend>(std::move(backend))),
      data_(static_cast<std::byte*>(backend_->ops().allocate(backend_->device(), bytes))),
      size_(bytes) {
  if (data_ == nullptr) {
    fail_load({.what = "not enough memory",
               .found = std::to_string(bytes) + " bytes asked for",
               .hint = "a shorter text or a smaller number format"});
  }
}

Memory::~Memory() {
  if (data_ != nullptr) backend_->ops().release(backend_->device(), data_);
}

Memory::Memory(Memory&& other) noexcept
    : backend_(std::move(other.backend_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace pkv::kernels
