#include "checker/compare/columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace pkv::check {

std::string distance_cell(const Difference& difference) {
  return difference.not_finite > 0 ? "NaN" : show::short_number(difference.max_abs);
}

std::string formats_cell(const Description& subject) {
  const bool other = !subject.past_format.empty() && subject.past_format != subject.format;
  return other ? fmt::format("{}, past {}", subject.format, subject.past_format) : subject.format;
}

std::string subject_line(const Description& d) {
  std::string line = d.name;
  for (const auto& part : {d.family, formats_cell(d), d.system}) {
    if (!part.empty()) line += " · " + part;
  }
  return show::printable(line);
}

std::string place_cell(const std::optional<Place>& place) {
  if (!place) return {};
  return place->past < 0 ? fmt::format("{}", place->position)
                         : fmt::format("{}, past {}", place->position, place->past);
}

std::vector<std::vector<std::string>> table_cells(const Table& t) {
  const auto a = pandas_column(t.without_past.values()), b = pandas_column(t.with_past.values());
  const auto c = pandas_column(t.absolute.values()), d = pandas_column(t.relative.values());
  std::vector<std::vector<std::string>> rows{{"", "without past", "with past", "absolute Δ", "relative Δ"}};
  for (std::size_t i = 0; i < a.size(); ++i) rows.push_back({std::string(Summary::names[i]), a[i], b[i], c[i], d[i]});
  return rows;
}

std::array<std::string, 7> pandas_column(const std::array<double, 7>& values) {
  const bool scientific =
      std::any_of(values.begin(), values.end(), [](double v) { return v != 0 && std::abs(v) < 1e-6; });
  std::array<std::string, 7> cells;
  for (std::size_t i = 0; i < values.size(); ++i) {
    cells[i] = std::isnan(values[i]) ? "NaN"
               : scientific          ? fmt::format("{:.6e}", values[i])
                                     : fmt::format("{:.6f}", values[i]);
  }
  return cells;
}

}  // namespace pkv::check
