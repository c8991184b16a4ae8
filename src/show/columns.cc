#include "show/columns.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pkv::show {
namespace {

struct Range {
  char32_t first, last;
};

// Unicode's East Asian Width W and F, and combining marks, in coarse blocks: enough to keep columns straight.
constexpr Range wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
                          {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
                          {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
constexpr Range combining[] = {{0x300, 0x36f}, {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},
                               {0x900, 0x902}, {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};

template <std::size_t N>
bool among(const Range (&ranges)[N], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges), [&](Range r) { return c >= r.first && c <= r.last; });
}

int width_of(char32_t c) { return among(combining, c) ? 0 : among(wide, c) ? 2 : 1; }

std::vector<int> widths_of(const std::vector<std::vector<std::string>>& rows) {
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  return widths;
}

bool is_left(const std::vector<bool>& left, std::size_t column) { return column < left.size() && left[column]; }

// A cell must not end its column or its line.
std::string markdown_cell(std::string_view text) {
  std::string safe;
  for (const char c : printable(text)) safe += c == '|' ? "\\|" : std::string(1, c);
  return safe;
}

}  // namespace

int columns_of(std::string_view text) {
  int sum = 0;
  for (std::size_t at = 0; at < text.size();) sum += width_of(next_character(text, at));
  return sum;
}

std::string spaces(int count) { return std::string(static_cast<std::size_t>(std::max(0, count)), ' '); }

std::string pad_left(std::string_view text, int columns) { return spaces(columns - columns_of(text)).append(text); }

std::string pad_right(std::string_view text, int columns) {
  return std::string(text) + spaces(columns - columns_of(text));
}

std::string shortened(std::string_view text, int columns) {
  if (columns_of(text) <= columns) return std::string(text);
  std::size_t at = 0, kept = 0;
  for (int width = 0; at < text.size(); kept = at) {
    width += width_of(next_character(text, at));
    if (width > columns - 1) break;
  }
  return std::string(text.substr(0, kept)) + "…";
}

std::string wrapped(std::string_view start, std::string_view raw, int columns) {
  const std::string text = printable(raw);
  const std::string margin = spaces(columns_of(start));
  std::string all, line(start);
  bool empty = true;  // no word on this line yet
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t space = std::min(text.find(' ', from), text.size());
    const std::string word = text.substr(from, space - from);
    if (!empty && columns_of(line) + 1 + columns_of(word) > columns) {
      all += line + "\n";
      line = margin;
    } else if (!empty) {
      line += " ";
    }
    line += word;
    empty = false;
    from = space + 1;
  }
  return all + line + "\n";
}

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::string quoted(std::string_view text, int columns) { return "\"" + shortened(printable(text), columns - 2) + "\""; }

std::string aligned(const std::vector<std::vector<std::string>>& rows, int indent, const std::vector<bool>& left,
                    const std::vector<std::string>& tails, int columns) {
  const std::vector<int> widths = widths_of(rows);
  const int room = columns - std::accumulate(widths.begin(), widths.end(), 0);
  const int gaps = static_cast<int>(widths.size()) - 1;
  const int between = indent + 2 * gaps > room ? 1 : 2;
  indent = std::clamp(room - between * gaps, 0, indent);
  std::string all;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line = spaces(indent);
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      if (i > 0) line += spaces(between);
      line += is_left(left, i) ? pad_right(rows[r][i], widths[i]) : pad_left(rows[r][i], widths[i]);
    }
    if (!tails.empty()) line += tails[r];
    line.erase(line.find_last_not_of(' ') + 1);
    all += line + "\n";
  }
  return all;
}

std::vector<std::vector<std::size_t>> bands(const std::vector<std::vector<std::string>>& rows, int room) {
  const std::vector<int> widths = widths_of(rows);
  std::vector<std::vector<std::size_t>> all(1);
  if (widths.empty()) return all;
  all[0] = {0};
  int filled = widths[0];
  for (std::size_t i = 1; i < widths.size(); ++i) {
    if (filled + 1 + widths[i] > room && all.back().size() > 1) {
      all.push_back({0});
      filled = widths[0];
    }
    all.back().push_back(i);
    filled += 1 + widths[i];
  }
  return all;
}

std::string markdown_table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& left) {
  std::string all;
  for (const auto& row : rows) {
    std::vector<std::string> safe;
    for (const auto& c : row) safe.push_back(markdown_cell(c));
    all += fmt::format("| {} |\n", fmt::join(safe, " | "));
    if (&row != &rows.front()) continue;
    all += "|";
    for (std::size_t i = 0; i < row.size(); ++i) all += is_left(left, i) ? " :--- |" : " ---: |";
    all += "\n";
  }
  return all;
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::string line;
  for (const std::string& cell : cells) {
    if (&cell != &cells.front()) line += ',';
    if (cell.find_first_of(",\"\r\n") == std::string::npos) {
      line += cell;
      continue;
    }
    line += '"';
    for (const char c : cell) line += c == '"' ? "\"\"" : std::string(1, c);
    line += '"';
  }
  return line + "\n";
}

std::string short_number(double value, int digits) {
  if (std::isnan(value)) return "NaN";
  return fmt::format("{:.{}g}", value, digits);
}

std::string short_count(std::int64_t value) {
  return value < 100000 ? fmt::format("{}", value) : fmt::format("{:.0e}", static_cast<double>(value));
}

std::string grouped(std::int64_t value) {
  std::string digits = fmt::format("{}", value);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::string counted(std::int64_t count, std::string_view thing) {
  return fmt::format("{} {}{}", grouped(count), thing, count == 1 ? "" : "s");
}

}  // namespace pkv::show
