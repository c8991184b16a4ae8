// What a device can do at most, measured: the denominators of every measurement. Backend::peak gives one; how the
// host's is measured is in cpu/peak.h.
#pragma once

#include <cstddef>

namespace pkv::kernels {

// Holds memory that no cache holds. Each rate is measured anew, which takes milliseconds.
class Peak {
 public:
  virtual ~Peak() = default;
  virtual double read_rate() = 0;         // bytes/s read, the best of several access patterns
  virtual double fma_rate() = 0;          // multiply-adds of fp32 per second
  virtual std::size_t bytes() const = 0;  // of the host's memory that it holds
};

}  // namespace pkv::kernels
