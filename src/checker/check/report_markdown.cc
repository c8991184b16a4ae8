#include <fmt/format.h>

#include "checker/causes/causes.h"
#include "checker/check/report.h"
#include "checker/compare/columns.h"

namespace pkv::check {
namespace {

using Row = std::vector<std::string>;

Row row_of(const Result& r) {
  if (!r.left_out.empty()) return {r.name, "left out: " + r.left_out, "", "", "", "", "", ""};
  const Difference& d = r.difference;
  return {r.name,
          fmt::format("{}", r.runs),
          fmt::format("{}", d.positions),
          distance_cell(d),
          fmt::format("{}", d.ulps),
          show::short_number(d.max_kl),
          fmt::format("{}", d.top_flips),
          place_cell(d.worst)};
}

std::string experiments(const Report& r) {
  std::vector<Row> rows{
      {"experiment", "runs", "positions", "max |Δ|", "ULP", "KL", "top-1 flips", "worst at position"}};
  for (const auto& result : r.results) rows.push_back(row_of(result));
  return show::markdown_table(rows);
}

std::string finding(const Finding& f) {
  const char* mark = f.shown == Answer::yes ? "✓" : f.shown == Answer::no ? "✗" : "?";
  return fmt::format("- {} {}\n", mark, f.sentence);
}

std::string findings(const Report& r) {
  std::string all;
  for (const Finding* f : findings_to_show(r.evidence)) all += finding(*f);
  if (!r.causality.sentence.empty()) all += finding({r.causality.holds, r.causality.sentence});
  return all;
}

std::string causes(const Report& r) {
  std::string all;
  for (const Explanation& e : r.causes) {
    const std::string seen = e.reference.empty() ? "" : "; seen in " + e.reference;
    all += fmt::format("- cause: **{}**{}: {} ({}); look at {}{}\n", e.cause, e.confirmed ? "" : " (not certain)",
                       show::printable(e.statement), show::printable(e.evidence), e.look_at, seen);
  }
  if (all.empty() && r.causes_tried > 0) all = "- cause: " + unknown_cause(r) + "\n";
  if (r.causes_tried > 0) all += "- cost: " + cost_of_explaining(r) + "\n";
  if (r.parting) all += "- where: " + r.parting->sentence + "\n";
  return all.empty() ? "" : all + "\n";
}

std::string sentences(const Report& r) {
  std::string all;
  for (const auto& reason : r.verdict.reasons) all += "\n" + show::printable(reason) + "\n";
  for (const auto& note : r.notes) all += "\n" + show::printable(note) + "\n";
  return all;
}

std::string heading(const Report& r) {
  const Description& d = r.subject;
  std::string all = "## " + show::printable(d.name) + "\n\n";
  for (const auto& part : {d.family, formats_cell(d), d.system}) {
    if (!part.empty()) all += show::printable(part) + ", ";
  }
  return all + show::counted(std::ssize(r.ids), "token") + "\n" +
         (r.text.empty() ? "" : "\n" + show::quoted(r.text, 400) + "\n");
}

}  // namespace

std::string report_markdown(const Report& r) {
  return fmt::format("{}\n**{}**: {}\n\n{}{}\n{}\n{}{}", heading(r), name_of(r.verdict.outcome), r.verdict.sentence,
                     causes(r), show::markdown_table(table_cells(r.table)), experiments(r), findings(r), sentences(r));
}

std::string summary_markdown(std::span<const Report> reports, std::span<const NotChecked> others) {
  std::vector<Row> rows{{"model", "family", "format", "tokens", "max |Δ|", "ULP", "top-1 flips", "faster", "verdict"}};
  for (const auto& r : reports) {
    rows.push_back({r.subject.name, r.subject.family, formats_cell(r.subject), fmt::format("{}", r.ids.size()),
                    distance_cell(r.total), fmt::format("{}", r.total.ulps), fmt::format("{}", r.total.top_flips),
                    gain_cell(r.gain), name_of(r.verdict.outcome)});
  }
  for (const auto& n : others) rows.push_back({n.model, "", "", "", "", "", "", "", "not checked"});
  return show::markdown_table(rows);
}

}  // namespace pkv::check
