// Buffer: owned host memory for a tensor, aligned to 64 bytes and not initialised. Move-only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>

#include "engine/tensor/view.h"

namespace pkv {

class Buffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  Buffer() = default;
  Buffer(DType dtype, std::span<const std::int64_t> shape);
  Buffer(DType dtype, std::initializer_list<std::int64_t> shape)
      : Buffer(dtype, std::span<const std::int64_t>(shape.begin(), shape.size())) {}

  const View& view() const { return view_; }
  explicit operator bool() const { return static_cast<bool>(view_); }

  template <class T>
  std::span<T> span() {
    return {view_.as<T>(), static_cast<std::size_t>(view_.elements())};
  }
  template <class T>
  std::span<const T> span() const {
    return {view_.as<T>(), static_cast<std::size_t>(view_.elements())};
  }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Free> memory_;
  View view_;
};

}  // namespace pkv
