#include <fmt/format.h>

#include "checker/check/report.h"
#include "checker/compare/columns.h"

namespace pkv::check {
namespace {

std::string number(double value) { return fmt::format("{:.9g}", value); }

std::string line_of(const Result& r) {
  const Difference& d = r.difference;
  if (!r.left_out.empty()) return show::csv_line({r.name, "0", "0", "", "", "", "", "", "", "", "", r.left_out});
  return show::csv_line({r.name, fmt::format("{}", r.runs), fmt::format("{}", d.positions), d.same_bits ? "yes" : "no",
                         number(d.max_abs), fmt::format("{}", d.ulps), number(d.max_kl), fmt::format("{}", d.top_flips),
                         fmt::format("{}", d.not_finite),
                         d.worst && d.worst->past >= 0 ? fmt::format("{}", d.worst->past) : "",
                         d.worst ? fmt::format("{}", d.worst->position) : "", ""});
}

}  // namespace

std::string report_csv(const Report& report) {
  std::string all =
      "experiment,runs,positions,same_bits,max_abs,ulps,max_kl,top_flips,not_finite,worst_past,worst_position,left_"
      "out\n";
  for (const auto& r : report.results) all += line_of(r);
  return all;
}

std::string summary_csv(std::span<const Report> reports, std::span<const NotChecked> others) {
  std::string all =
      "model,family,format,system,tokens,positions,max_abs,bound,ulps,max_kl,top_flips,verdict,times_faster\n";
  for (const auto& r : reports) {
    all += show::csv_line({r.subject.name, r.subject.family, formats_cell(r.subject), r.subject.system,
                           fmt::format("{}", r.ids.size()), fmt::format("{}", r.total.positions),
                           number(r.total.max_abs), number(r.bound.value), fmt::format("{}", r.total.ulps),
                           number(r.total.max_kl), fmt::format("{}", r.total.top_flips), name_of(r.verdict.outcome),
                           r.gain ? number(r.gain->times) : ""});
  }
  for (const auto& n : others)
    all += show::csv_line({n.model, "", "", "", "", "", "", "", "", "", "", "not checked", ""});
  return all;
}

}  // namespace pkv::check
