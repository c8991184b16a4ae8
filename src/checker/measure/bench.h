// What the parts of a measurement share: the system, the clock, the rows compared so far, and how far the work is.
// For this room alone.
#pragma once

#include <algorithm>

#include "checker/measure/measure.h"
#include "checker/measure/rows.h"

namespace pkv::measure {

// Progress in time: how much has passed, and how much is expected to come.
class Ticker {
 public:
  Ticker(Clock clock, Progress progress) : clock_(std::move(clock)), progress_(std::move(progress)), start_(clock_()) {}

  void expect(double seconds) { expected_ += seconds; }
  void forget() { expected_ = 0; }
  void done(double seconds) {
    expected_ = std::max(0.0, expected_ - seconds);
    show(1);
  }
  // Before anything is known: `share` of the first, untimed run of everything is done, and as much comes again in each
  // of `rounds`, without past several times over.
  void guess(double share, std::int64_t rounds) {
    const double whole = (clock_() - start_) / share;
    expected_ = whole * (1 - share) + 3 * whole * static_cast<double>(rounds);
    show(1);
  }
  void finish() {
    expected_ = 0;
    show(0);
  }

 private:
  void show(std::int64_t more) const {
    if (!progress_) return;
    const auto passed = static_cast<std::int64_t>(1e3 * (clock_() - start_));
    progress_(passed, passed + static_cast<std::int64_t>(1e3 * expected_) + more);
  }

  Clock clock_;
  Progress progress_;
  double start_, expected_ = 0;
};

struct Bench {
  session::Subject& subject;
  const Yardstick& yardstick;
  const Options& options;
  Rows rows;
  Ticker ticker;
  Result result;
  std::int64_t explored = 0, to_explore = 0;  // new tokens of the first run
};

// Seconds that `work` takes.
template <class Work>
double timed(const Bench& bench, Work&& work) {
  const double start = bench.options.clock();
  work();
  return bench.options.clock() - start;
}

}  // namespace pkv::measure
