// View: a borrowed, typed, strided piece of tensor memory of rank 0 to 4. It owns nothing and checks nothing by
// itself; whoever makes one vouches for the memory. Strides count elements; the last dimension is contiguous unless
// said otherwise. The memory may belong to a device: only kernels read or write through a View.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "engine/tensor/dtype.h"

namespace pkv {

struct View {
  static constexpr int kMaxRank = 4;

  void* data = nullptr;
  DType dtype = DType::f32;
  int rank = 0;
  std::array<std::int64_t, kMaxRank> shape{};
  std::array<std::int64_t, kMaxRank> stride{};

  View() = default;
  // Row-major and dense.
  View(const void* memory, DType type, std::span<const std::int64_t> dims);
  View(const void* memory, DType type, std::initializer_list<std::int64_t> dims)
      : View(memory, type, std::span<const std::int64_t>(dims.begin(), dims.size())) {}

  explicit operator bool() const { return data != nullptr; }
  std::int64_t elements() const;
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype); }
  bool dense() const;

  std::int64_t operator[](int dim) const { return shape[static_cast<std::size_t>(dim)]; }
  std::int64_t step(int dim) const { return stride[static_cast<std::size_t>(dim)]; }

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }

  // The same memory with `count` of dimension 0 from `first` on.
  View rows(std::int64_t first, std::int64_t count) const;
  // Columns [first, first + count) of a rank 2 view; the row stride stays.
  View columns(std::int64_t first, std::int64_t count) const;
};

// "[1000, 96]"
std::string shape_text(std::span<const std::int64_t> shape);
std::string shape_text(const View& view);

}  // namespace pkv
