#include "checker/perplexity/running.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pkv::perplexity {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::size_t bin_of(double value) {
  if (value < LogHistogram::kFirstEdge) return 0;
  const double capped = std::min(value, LogHistogram::kLastEdge);
  return 1 + static_cast<std::size_t>(std::log(capped / LogHistogram::kFirstEdge) / std::log(LogHistogram::kGrowth));
}

}  // namespace

void RunningMean::add(double value) {
  ++count_;
  const double apart = value - mean_;
  mean_ += apart / static_cast<double>(count_);
  squares_ += apart * (value - mean_);
}

double RunningMean::mean() const { return count_ == 0 ? nan : mean_; }

double RunningMean::deviation() const {
  return count_ < 2 ? nan : std::sqrt(squares_ / static_cast<double>(count_ - 1));
}

double RunningMean::standard_error() const { return deviation() / std::sqrt(static_cast<double>(count_)); }

LogHistogram::LogHistogram() : bins_(bin_of(kLastEdge) + 1) {}

void LogHistogram::add(double value) {
  ++bins_[bin_of(value)];
  ++count_;
  largest_ = std::max(largest_, value);
}

double LogHistogram::quantile(double q) const {
  if (count_ == 0) return nan;
  const auto rank = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(q * static_cast<double>(count_))));
  std::size_t bin = 0;
  for (std::int64_t below = bins_[0]; below < rank; below += bins_[bin]) ++bin;
  if (bin == 0) return 0;
  if (bin + 1 == bins_.size()) return largest_;
  return std::min(largest_, kFirstEdge * std::pow(kGrowth, static_cast<double>(bin) - 0.5));
}

}  // namespace pkv::perplexity
