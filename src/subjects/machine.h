// The machine that this program runs on, as the one whose peaks a measurement holds speeds against.
#pragma once

#include <cstdint>
#include <memory>

#include "checker/measure/machine.h"
#include "engine/kernels/backend.h"

namespace pkv::subjects {

std::uint64_t resident_at_most();  // bytes of this process, so far

// The peaks of the device that a model runs on.
class ThisMachine : public measure::Machine {
 public:
  explicit ThisMachine(const kernels::Backend& backend) : peak_(backend.peak()) {}
  double read_rate() override;
  double fma_rate() override;
  std::uint64_t peak_memory() override;

 private:
  std::uint64_t before_ = resident_at_most();  // before the memory that the rate is measured on was there
  std::unique_ptr<kernels::Peak> peak_;
};

}  // namespace pkv::subjects
