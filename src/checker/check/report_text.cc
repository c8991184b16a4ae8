#include <fmt/format.h>

#include <map>

#include "checker/causes/causes.h"
#include "checker/check/report.h"
#include "checker/compare/columns.h"

namespace pkv::check {
namespace {

using Row = std::vector<std::string>;

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

std::string text_line(const Report& r) {
  const std::string count = show::counted(std::ssize(r.ids), "token");
  if (r.text.empty()) return count;
  return show::quoted(r.text, show::terminal_columns - show::columns_of(count) - 3) + " → " + count;
}

// Escape codes are not columns, so marks and names are painted after wrapping.
std::string painted_start(std::string lines, std::size_t start, std::string_view painted) {
  return std::string(painted) + lines.substr(start);
}

std::string verdict_lines(const Verdict& v, const Paint& paint) {
  const std::string head = (v.holds() ? "✓ " : "✗ ") + name_of(v.outcome);
  const std::string lines = show::wrapped(head.substr(0, head.find(' ') + 1), name_of(v.outcome) + ": " + v.sentence);
  return painted_start(lines, head.size(), v.holds() ? paint.good(head) : paint.bad(head));
}

Row cells_of(const Result& r) {
  const Difference& d = r.difference;
  return {r.name,
          fmt::format("{}", r.runs),
          fmt::format("{}", d.positions),
          distance_cell(d),
          show::short_count(d.ulps),
          fmt::format("{:.2g}", d.max_kl),
          fmt::format("{}", d.top_flips),
          place_cell(d.worst)};
}

std::string results_lines(const Report& r) {
  std::vector<Row> rows{{"experiment", "runs", "positions", "max |Δ|", "ULP", "KL", "flips", "worst at"}};
  for (const auto& result : r.results) {
    if (result.left_out.empty()) rows.push_back(cells_of(result));
  }
  return show::aligned(rows, indent);
}

std::string finding_line(const Finding& f, const Paint& paint) {
  const std::string mark = f.shown == Answer::yes ? "✓" : f.shown == Answer::no ? "✗" : "?";
  const std::string painted = f.shown == Answer::yes  ? paint.good(mark)
                              : f.shown == Answer::no ? paint.bad(mark)
                                                      : paint.dim(mark);
  return "  " + painted_start(show::wrapped("  " + mark + " ", f.sentence), 2 + mark.size(), painted);
}

std::string evidence_lines(const Report& r, const Paint& paint) {
  std::string lines;
  for (const Finding* f : findings_to_show(r.evidence)) lines += finding_line(*f, paint);
  if (!r.causality.sentence.empty()) lines += finding_line({r.causality.holds, r.causality.sentence}, paint);
  return lines;
}

std::string parting_lines(const Report& r) { return r.parting ? show::wrapped("  where: ", r.parting->sentence) + "\n" : ""; }

// Nothing where nothing was sought.
std::string cause_lines(const Report& r, const Paint& paint) {
  std::string lines;
  for (const Explanation& e : r.causes) {
    const std::string head = fmt::format("cause: {}{}", e.cause, e.confirmed ? "" : " (not certain)");
    lines += "  " + paint.bold(head) + "\n" + show::wrapped("    ", e.statement + ".");
    lines += show::wrapped("    evidence: ", e.evidence) + show::wrapped("    look at:  ", e.look_at);
    if (!e.reference.empty()) lines += show::wrapped("    seen in:  ", e.reference);
  }
  if (lines.empty() && r.causes_tried > 0) lines = show::wrapped("  cause: ", unknown_cause(r));
  if (r.causes_tried > 0) lines += show::wrapped("    cost:     ", cost_of_explaining(r));
  return lines.empty() ? "" : lines + "\n";
}

std::string left_out_lines(const std::vector<Result>& results) {
  std::map<std::string, std::string> names_by_reason;
  for (const auto& r : results) {
    if (r.left_out.empty()) continue;
    std::string& names = names_by_reason[r.left_out];
    names += (names.empty() ? "" : "; ") + r.name;
  }
  std::string lines;
  for (const auto& [reason, names] : names_by_reason) {
    lines += show::wrapped("  ", fmt::format("Left out, as {}: {}.", reason, names));
  }
  return lines;
}

std::string paragraphs(const Report& r) {
  std::string lines;
  for (const auto& reason : r.verdict.reasons) lines += show::wrapped("  ", reason);
  for (const auto& note : r.notes) lines += show::wrapped("  ", note);
  lines += left_out_lines(r.results);
  return lines.empty() ? "" : "\n" + lines;
}

}  // namespace

// The end is what a terminal of few lines shows.
std::string report_text(const Report& r, bool colour) {
  const Paint paint{colour};
  return paint.bold(show::shortened(subject_line(r.subject), show::terminal_columns)) + "\n" + text_line(r) + "\n\n" +
         show::aligned(table_cells(r.table), indent) + "\n" + results_lines(r) + "\n" + evidence_lines(r, paint) +
         paragraphs(r) + "\n" + cause_lines(r, paint) + parting_lines(r) + verdict_lines(r.verdict, paint);
}

}  // namespace pkv::check
