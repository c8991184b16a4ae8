#include "subjects/machine.h"

#include <sys/resource.h>

#include <algorithm>

namespace pkv::subjects {

double ThisMachine::read_rate() { return peak_->read_rate(); }

double ThisMachine::fma_rate() { return peak_->fma_rate(); }

std::uint64_t resident_at_most() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

// The memory that is read to measure the rate is resident too, and no part of the model's work.
std::uint64_t ThisMachine::peak_memory() { return std::max(before_, resident_at_most() - peak_->bytes()); }

}  // namespace pkv::subjects
