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

void fill_histograms(Report& report, std::span<const float> without_past, std::span<const float> with_past) {
  Range logits, distances;
  for (std::size_t i = 0; i < without_past.size(); ++i) {
    logits.add(without_past[i]);
    logits.add(with_past[i]);
    distances.add(distance(without_past[i], with_past[i]));
  }
  report.without_past = report.with_past = empty_histogram(logits);
  report.distances = empty_histogram(distances);
  for (std::size_t i = 0; i < without_past.size(); ++i) {
    count(report.without_past, without_past[i]);
    count(report.with_past, with_past[i]);
    count(report.distances, distance(without_past[i], with_past[i]));
  }
}

void fill_cells(Report& report, std::vector<Cell> cells) {
  report.positions_of_cell = std::max<std::int64_t>(1, (std::ssize(cells) + kMostCells - 1) / kMostCells);
  const std::int64_t group = report.positions_of_cell;
  for (const Cell& c : cells) {
    const bool same = !report.cells.empty() && report.cells.back().place.past == c.place.past &&
                      report.cells.back().place.position / group == c.place.position / group;
    if (!same) {
      report.cells.push_back(c);
    } else if (worse(c, report.cells.back())) {
      report.cells.back() = c;
    }
  }
}

}  // namespace pkv::check
