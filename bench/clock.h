// The clock and the middle of what it measured.
#pragma once

#include <vector>

namespace pkv::bench {

// Wall clock; with `cpu_clock`, the processor time of this thread: for one thread on a machine that others use too.
extern bool cpu_clock;
double seconds();

double median(std::vector<double> values);

}  // namespace pkv::bench
