// How the outputs of a product are shared out among threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace pkv::kernels::cpu {

// Shares of `blocks` blocks of outputs: long at first, so that each thread reads a long stretch of memory in order, and
// short in the end, so that all threads finish together.
class Shares {
 public:
  Shares(std::int64_t blocks, std::int64_t threads) : blocks_(blocks), threads_(threads) {
    for (std::int64_t left = blocks; left > 0; left -= at_once(left) * length(left)) count_ += at_once(left);
  }
  std::int64_t count() const { return count_; }
  // The first block of share i, and the one after its last.
  std::pair<std::int64_t, std::int64_t> range(std::int64_t i) const {
    std::int64_t left = blocks_;
    for (; i >= at_once(left); left -= at_once(left) * length(left)) i -= at_once(left);
    const std::int64_t begin = blocks_ - left + i * length(left);
    return {begin, begin + length(left)};
  }

 private:
  std::int64_t length(std::int64_t left) const { return std::max<std::int64_t>(1, left / (2 * threads_)); }
  std::int64_t at_once(std::int64_t left) const { return std::min(threads_, left); }  // shares of this length

  std::int64_t blocks_, threads_, count_ = 0;
};

// Outputs of one task for many rows, where a task is one of `row_blocks` blocks of rows and some outputs, which it goes
// through by panels of `panel`: `most`, or fewer where that saves a quarter of the time until all threads are done, as
// with 768 outputs for 16 threads. (A task begins with weights that nobody has asked for, so that small ones cost some
// percent.) Whole cache lines of outputs, or threads would write to the same ones.
inline std::int64_t task_outs(std::int64_t outs, std::int64_t row_blocks, std::int64_t threads, std::int64_t panel,
                              std::int64_t most) {
  constexpr std::int64_t kLine = 16;  // floats
  const auto ceil = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  const auto panels = [&](std::int64_t task) {  // of the thread that has most
    return ceil(row_blocks * ceil(outs, task), threads) * ceil(task, panel);
  };
  std::int64_t best = most;
  for (std::int64_t task = most - kLine; task >= kLine; task -= kLine) {
    if (4 * panels(task) <= 3 * panels(most) && panels(task) < panels(best)) best = task;
  }
  return best;
}

}  // namespace pkv::kernels::cpu
