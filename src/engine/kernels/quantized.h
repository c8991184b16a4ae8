// Where `linear` keeps rows of activations that it has quantised: the layout of its scratch memory. As many rows as fit
// a block; a call with more goes through it block by block.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/kernels/kernels.h"

namespace pkv::kernels {

class QuantizedRows {
 public:
  static constexpr std::int64_t kRows = 128;  // at most at once
  static constexpr std::int64_t kSpan = 256;  // activations that share a scale, with weights of 4 bits or in blocks

  QuantizedRows(const quant::Matrix& m, std::int64_t rows)
      : int8_(m.traits().product == quant::Product::of_codes), in_(m.in), rows_(std::min(rows, kRows)) {
    codes_ = lines((in_ + 63) / 64 * 64 * 2);
    scales_ = lines(((in_ + kSpan - 1) / kSpan + 1) * 4);
    outliers_ = int8_ ? lines(in_ * 4) : 0;
    sums_ = m.traits().scaling == quant::Scaling::inside ? lines((in_ + kSpan - 1) / kSpan * 16 * 4) : 0;
  }

  std::int64_t rows() const { return rows_; }
  std::size_t bytes() const { return static_cast<std::size_t>(rows_ * row_bytes() + (int8_ ? lines(in_) : 0)); }

  // Of row r. Codes are 8 or 16 bits wide, in an order that the table chooses; zeros up to a whole line.
  template <class T>
  T* codes(std::byte* scratch, std::int64_t r) const {
    return reinterpret_cast<T*>(scratch + r * row_bytes());
  }
  float* scales(std::byte* scratch, std::int64_t r) const {
    return reinterpret_cast<float*>(scratch + r * row_bytes() + codes_);
  }
  std::int32_t* columns(std::byte* scratch, std::int64_t r) const {
    return reinterpret_cast<std::int32_t*>(scratch + r * row_bytes() + codes_ + scales_);
  }
  float* values(std::byte* scratch, std::int64_t r) const {
    return reinterpret_cast<float*>(scratch + r * row_bytes() + codes_ + scales_ + outliers_);
  }
  // Blocks with minima: 16 for each span.
  float* sums(std::byte* scratch, std::int64_t r) const {
    return reinterpret_cast<float*>(scratch + r * row_bytes() + codes_ + scales_);
  }
  // One byte a column: not 0 where any row of the call has an outlier.
  std::uint8_t* flags(std::byte* scratch) const {
    return reinterpret_cast<std::uint8_t*>(scratch + rows_ * row_bytes());
  }

 private:
  static constexpr std::int64_t kLine = 64;
  static constexpr std::int64_t lines(std::int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }
  // Rows a power of two apart would compete for the same sets of the caches.
  std::int64_t row_bytes() const { return (codes_ + scales_ + 2 * outliers_ + sums_) | kLine; }

  bool int8_;
  std::int64_t in_, rows_, codes_ = 0, scales_ = 0, outliers_ = 0, sums_ = 0;
};

}  // namespace pkv::kernels
