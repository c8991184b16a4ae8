// Statistics of values that come one by one and are not kept: mean and standard error, and a quantile with a known
// bound. Memory does not grow with the number of values. All arithmetic is in double.
#pragma once

#include <cstdint>
#include <vector>

namespace pkv::perplexity {

// Mean and deviation by Welford's recurrence (1962), which does not cancel.
class RunningMean {
 public:
  void add(double value);

  std::int64_t count() const { return count_; }
  double mean() const;            // NaN of no values
  double deviation() const;       // of the sample, n - 1; NaN of fewer than two
  double standard_error() const;  // of the mean, values taken as independent: deviation / sqrt(n)

 private:
  std::int64_t count_ = 0;
  double mean_ = 0, squares_ = 0;
};

// Counts of values >= 0 in bins whose edges grow by 1 %. What lies below the first edge counts as 0, what lies beyond
// the last as the largest value.
class LogHistogram {
 public:
  static constexpr double kGrowth = 1.01, kFirstEdge = 1e-18, kLastEdge = 1e6;

  LogHistogram();
  void add(double value);

  // The smallest value that a share `q` of all is not above (nearest rank), to half a bin: 0.5 %. NaN of no values.
  double quantile(double q) const;
  double largest() const { return largest_; }  // exact; 0 of no values

 private:
  std::vector<std::int64_t> bins_;
  std::int64_t count_ = 0;
  double largest_ = 0;
};

}  // namespace pkv::perplexity
