#include <fmt/format.h>

#include "checker/check/report.h"
#include "checker/compare/columns.h"

namespace pkv::check {
namespace {

using Row = std::vector<std::string>;

constexpr int widest_name = 18, widest_family = 8, widest_format = 6;

Row row_of(const Report& r) {
  return {show::shortened(show::printable(r.subject.name), widest_name),
          show::shortened(show::printable(r.subject.family), widest_family),
          show::shortened(show::printable(r.subject.format), widest_format),
          distance_cell(r.total),
          show::short_count(r.total.ulps),
          fmt::format("{}", r.total.top_flips),
          r.gain ? gain_cell(r.gain) : "-"};
}

std::string painted(const std::string& text, int code, bool colour) {
  return colour ? fmt::format("\033[1;{}m{}\033[0m", code, text) : text;
}

}  // namespace

// The verdict is put behind the aligned columns: its colour codes do not count as columns.
std::string summary_text(std::span<const Report> reports, std::span<const NotChecked> others, bool colour) {
  std::vector<Row> rows{{"model", "family", "format", "max |Δ|", "ULP", "flips", "faster"}};
  std::vector<std::string> verdicts{"verdict"};
  for (const auto& r : reports) {
    rows.push_back(row_of(r));
    const bool holds = r.verdict.holds();
    verdicts.push_back(painted((holds ? "✓ " : "✗ ") + name_of(r.verdict.outcome), holds ? 32 : 31, colour));
  }
  for (const auto& other : others) {
    rows.push_back({show::shortened(show::printable(other.model), widest_name), "-", "-", "-", "-", "-", "-"});
    verdicts.push_back(painted("? not checked", 33, colour));
  }
  const std::string table = show::aligned(rows, 0);
  std::string all;
  std::size_t from = 0;
  for (const std::string& verdict : verdicts) {
    const std::size_t end = table.find('\n', from);
    all += table.substr(from, end - from) + "  " + verdict + "\n";
    from = end + 1;
  }
  return all;
}

}  // namespace pkv::check
