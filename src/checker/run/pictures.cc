#include "checker/run/pictures.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pkv::check {
namespace {

constexpr std::int64_t kBins = 48;
constexpr std::int64_t kMostCells = 4000;

struct Range {
  double least = std::numeric_limits<double>::infinity(), most = -std::numeric_limits<double>::infinity();

  void add(double value) {
    if (std::isfinite(value)) least = std::min(least, value), most = std::max(most, value);
  }
};

Histogram empty_histogram(const Range& range) {
  if (range.most < range.least) return {};
  if (range.most == range.least) return {.first = range.least, .width = 0, .counts = {0}};
  return {.first = range.least,
          .width = (range.most - range.least) / double{kBins},
          .counts = std::vector<std::int64_t>(std::size_t{kBins})};
}

void count(Histogram& h, double value) {
  if (!std::isfinite(value) || h.counts.empty()) return;
  const double bin = h.width > 0 ? std::floor((value - h.first) / h.width) : 0;
  h.counts[static_cast<std::size_t>(std::clamp(bin, 0.0, static_cast<double>(h.counts.size() - 1)))]++;
}

bool worse(const Cell& a, const Cell& b) {
  return std::isnan(a.max_abs) ? !std::isnan(b.max_abs) : a.max_abs > b.max_abs;
}

}  // namespace

Histograms histograms_of(std::span<const float> without_past, std::span<const float> with_past) {
  Range logits, distances;
  for (std::size_t i = 0; i < without_past.size(); ++i) {
    logits.add(without_past[i]);
    logits.add(with_past[i]);
    distances.add(distance(without_past[i], with_past[i]));
  }
  Histograms all{empty_histogram(logits), empty_histogram(logits), empty_histogram(distances)};
  for (std::size_t i = 0; i < without_past.size(); ++i) {
    count(all.without_past, without_past[i]);
    count(all.with_past, with_past[i]);
    count(all.distances, distance(without_past[i], with_past[i]));
  }
  return all;
}

Cells few_cells(const std::vector<Cell>& all) {
  const std::int64_t group = std::max<std::int64_t>(1, (std::ssize(all) + kMostCells - 1) / kMostCells);
  Cells few{{}, group};
  for (const Cell& c : all) {
    const bool same = !few.cells.empty() && few.cells.back().place.past == c.place.past &&
                      few.cells.back().place.position / group == c.place.position / group;
    if (!same) {
      few.cells.push_back(c);
    } else if (worse(c, few.cells.back())) {
      few.cells.back() = c;
    }
  }
  return few;
}

}  // namespace pkv::check
