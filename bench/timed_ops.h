// A backend whose operations are timed: where a pass's time goes, operation by operation, and what is left between
// them.
#pragma once

#include <string>
#include <vector>

#include "engine/kernels/backend.h"

namespace pkv::bench {

struct OpTime {
  std::string what;  // "linear 1024 x 3072"
  int calls = 0;
  double seconds = 0;
};

// `like` with a table of timed operations: of one backend at a time, called from one thread.
kernels::Backend timed(const kernels::Backend& like);

// What was called since the last time that this was asked, the longest first.
std::vector<OpTime> take_times();

}  // namespace pkv::bench
