#include <fmt/format.h>

#include "check/columns.h"
#include "check/report.h"

namespace pkv::check {
namespace {

using Row = std::vector<std::string>;
using Shown = Finding::Shown;

constexpr int indent = 2;

struct Paint {
  bool on;

  std::string operator()(const char* code, std::string_view text) const {
    return on ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
  }
  std::string good(std::string_view text) const { return (*this)("1;32", text); }
  std::string bad(std::string_view text) const { return (*this)("1;31", text); }
  std::string dim(std::string_view text) const { return (*this)("2", text); }
  std::string bold(std::string_view text) const { return (*this)("1", text); }
};

std::string marked(bool good, std::string_view text, const Paint& paint) {
  return good ? paint.good(fmt::format("✓ {}", text)) : paint.bad(fmt::format("✗ {}", text));
}

std::string subject_line(const Description& d) {
  std::string line = d.name;
  for (const auto& part : {d.family, d.format, d.system}) {
    if (!part.empty()) line += " · " + part;
  }
  return line;
}

std::string text_line(const Report& r) {
  const std::string count = counted(std::ssize(r.ids), "token");
  if (r.text.empty()) return count;
  return quoted(r.text, terminal_columns - columns_of(count) - 3) + " → " + count;
}

// The verdict's name is painted after wrapping, so that escape codes do not count as columns.
std::string verdict_lines(const Verdict& v, const Paint& paint) {
  const std::string name = name_of(v.outcome);
  std::string lines = wrapped(fmt::format("✓ {}: {}", name, v.sentence), terminal_columns, indent);
  const std::size_t head = std::string_view("✓ ").size() + name.size();
  return marked(v.holds(), name, paint) + lines.substr(head);
}

std::string table_lines(const Table& t) {
  const auto a = pandas_column(t.without_past.values()), b = pandas_column(t.with_past.values());
  const auto c = pandas_column(t.absolute.values()), d = pandas_column(t.relative.values());
  std::vector<Row> rows{{"", "without past", "with past", "absolute Δ", "relative Δ"}};
  for (std::size_t i = 0; i < a.size(); ++i) rows.push_back({std::string(Summary::names[i]), a[i], b[i], c[i], d[i]});
  return aligned(rows, indent);
}

Row cells_of(const Result& r) {
  const Difference& d = r.difference;
  const std::string worst = d.worst ? fmt::format("{}, past {}", d.worst->position, d.worst->past) : "";
  return {r.name,
          fmt::format("{}", r.runs),
          fmt::format("{}", d.positions),
          short_number(d.max_abs),
          short_count(d.ulps),
          fmt::format("{:.2g}", d.max_kl),
          fmt::format("{}", d.top_flips),
          worst};
}

std::string results_lines(const Report& r) {
  std::vector<Row> rows{{"experiment", "runs", "positions", "max |Δ|", "ULP", "KL", "flips", "worst at"}};
  for (const auto& result : r.results) {
    if (result.left_out.empty()) rows.push_back(cells_of(result));
  }
  return aligned(rows, indent);
}

std::string finding_line(const Finding& f, const Paint& paint) {
  const std::string line =
      wrapped("✓ " + f.sentence, terminal_columns - indent, indent).substr(std::string_view("✓").size());
  const std::string mark = f.shown == Shown::yes  ? paint.good("✓")
                           : f.shown == Shown::no ? paint.bad("✗")
                                                  : paint.dim("?");
  return mark + line;
}

std::string evidence_lines(const Evidence& e, const Paint& paint) {
  std::string lines;
  for (const Finding* f : {&e.exists, &e.length, &e.used, &e.control}) lines += "  " + finding_line(*f, paint);
  return lines;
}

std::string paragraphs(const Report& r) {
  std::string lines;
  for (const auto& reason : r.verdict.reasons) lines += wrapped("  " + reason, terminal_columns, indent);
  for (const auto& note : r.notes) lines += wrapped("  " + note, terminal_columns, indent);
  for (const auto& result : r.results) {
    if (result.left_out.empty()) continue;
    lines += wrapped(fmt::format("  Left out: {} ({}).", result.name, result.left_out), terminal_columns, indent);
  }
  return lines.empty() ? "" : "\n" + lines;
}

}  // namespace

std::string report_text(const Report& r, bool colour) {
  const Paint paint{colour};
  return paint.bold(shortened(subject_line(r.subject), terminal_columns)) + "\n" + text_line(r) + "\n\n" +
         verdict_lines(r.verdict, paint) + "\n" + table_lines(r.table) + "\n" + results_lines(r) + "\n" +
         evidence_lines(r.evidence, paint) + paragraphs(r);
}

}  // namespace pkv::check
