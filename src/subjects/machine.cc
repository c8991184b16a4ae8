#include "subjects/machine.h"

#include <sys/resource.h>

#include <algorithm>

namespace pkv::subjects {

double ThisMachine::read_rate() { return 1e9 * kernels::peak::best_read_rate(pool_, memory_); }

double ThisMachine::fma_rate() { return 1e9 * kernels::peak::fma_rate(pool_); }

std::uint64_t resident_at_most() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

// The memory that is read to measure the rate is resident too, and no part of the model's work.
std::uint64_t ThisMachine::peak_memory() { return std::max(before_, resident_at_most() - memory_.size()); }

}  // namespace pkv::subjects
