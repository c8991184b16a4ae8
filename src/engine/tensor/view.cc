#include "engine/tensor/view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace pkv {

View::View(const void* memory, DType type, std::span<const std::int64_t> dims)
    : data(const_cast<void*>(memory)), dtype(type), rank(static_cast<int>(dims.size())) {
  if (dims.size() > kMaxRank) {
    fail_internal({.what = "a view of rank above 4", .found = shape_text(dims)});
  }
  std::int64_t next = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    shape[i] = dims[i];
    stride[i] = next;
    next *= dims[i];
  }
}

std::int64_t View::elements() const {
  std::int64_t n = 1;
  for (int i = 0; i < rank; ++i) n *= (*this)[i];
  return n;
}

bool View::dense() const {
  std::int64_t next = 1;
  for (int i = rank; i-- > 0;) {
    if ((*this)[i] != 1 && step(i) != next) return false;
    next *= (*this)[i];
  }
  return true;
}

View View::rows(std::int64_t first, std::int64_t count) const {
  View v = *this;
  v.data = as<std::byte>() + static_cast<std::size_t>(first * step(0)) * size_of(dtype);
  v.shape[0] = count;
  return v;
}

View View::columns(std::int64_t first, std::int64_t count) const {
  View v = *this;
  v.data = as<std::byte>() + static_cast<std::size_t>(first) * size_of(dtype);
  v.shape[1] = count;
  return v;
}

std::string shape_text(std::span<const std::int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string shape_text(const View& view) {
  return shape_text(std::span(view.shape).first(static_cast<std::size_t>(view.rank)));
}

}  // namespace pkv
