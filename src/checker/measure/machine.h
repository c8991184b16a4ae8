// What shares of a machine's peaks are reckoned from: what calls of a system cost, and what the machine can do.
// Separate from what can be fed (checker/session), for few systems know either.
#pragma once

#include <cstdint>

namespace pkv::measure {

// The numerators.
class Costs {
 public:
  virtual ~Costs() = default;
  virtual double weight_bytes() const = 0;  // read by each call
  virtual double layer_fmas() const = 0;    // multiply-adds of a token in the layers, without attention
  virtual double output_fmas() const = 0;   // of a row of logits
  // Bytes that one token after `past` others has to read.
  virtual double step_bytes(std::int64_t past) const = 0;
  // Multiply-adds of a call that feeds `tokens` after `past` others, without the output layer.
  virtual double call_fmas(std::int64_t past, std::int64_t tokens) const = 0;
};

// The denominators.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual double read_rate() = 0;           // bytes per second
  virtual double fma_rate() = 0;            // multiply-adds per second
  virtual std::uint64_t peak_memory() = 0;  // bytes of this process at its largest, without what measuring needs
};

}  // namespace pkv::measure
