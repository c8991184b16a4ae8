// The machine that this program runs on, as the one whose peaks a measurement holds speeds against.
#pragma once

#include <cstdint>

#include "base/pool.h"
#include "checker/measure/machine.h"
#include "engine/kernels/cpu/peak.h"

namespace pkv::subjects {

std::uint64_t resident_at_most();  // bytes of this process, so far

// Its peaks, taken with as many threads.
class ThisMachine : public measure::Machine {
 public:
  explicit ThisMachine(int threads) : pool_(threads), memory_(pool_) {}
  double read_rate() override;
  double fma_rate() override;
  std::uint64_t peak_memory() override;

 private:
  WorkerPool pool_;
  std::uint64_t before_ = resident_at_most();  // before the memory that the rate is measured on was there
  kernels::peak::Memory memory_;
};

}  // namespace pkv::subjects
