// How the outputs of a product with few rows are shared out among threads.
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

}  // namespace pkv::kernels::cpu
