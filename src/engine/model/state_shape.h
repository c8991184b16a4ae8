// What a layer keeps of a text in place of, or beside, its keys and values: numbers of a fixed size, however long the
// text. fp32, as the operations that change them lay them out (kernels::Convolve, kernels::Recur).
#pragma once

#include <cstddef>
#include <cstdint>

namespace pkv::model {

struct StateShape {
  std::int64_t inputs = 0, channels = 0;         // of a convolution: its last inputs [inputs, channels]
  std::int64_t heads = 0, keys = 0, values = 0;  // of a recurrence: a matrix for each head

  // Each part begins at a multiple of kAlign bytes.
  static constexpr std::size_t kAlign = 64;
  std::size_t convolution_bytes() const { return aligned(static_cast<std::size_t>(inputs * channels) * sizeof(float)); }
  std::size_t recurrence_bytes() const {
    return aligned(static_cast<std::size_t>(heads * keys * values) * sizeof(float));
  }
  std::size_t bytes() const { return convolution_bytes() + recurrence_bytes(); }  // the convolution's, then the others
  explicit operator bool() const { return bytes() > 0; }
  bool operator==(const StateShape&) const = default;

 private:
  static std::size_t aligned(std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
};

}  // namespace pkv::model
