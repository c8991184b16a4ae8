#include "bench/clock.h"

#include <time.h>

#include <algorithm>

#include "base/clock.h"

namespace pkv::bench {

bool cpu_clock = false;

double seconds() {
  if (!cpu_clock) return pkv::seconds();
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

}  // namespace pkv::bench
