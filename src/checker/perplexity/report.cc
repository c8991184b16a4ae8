#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "checker/compare/columns.h"
#include "checker/perplexity/perplexity.h"
#include "show/dumped.h"

namespace pkv::perplexity {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

constexpr double kTail = 0.99;

// "3.45123 ± 0.041"; without the error where one value has none.
std::string with_error(double value, double error, int digits = 6) {
  const std::string text = fmt::format("{:.{}g}", value, digits);
  return std::isnan(error) ? text : fmt::format("{} ± {:.2g}", text, error);
}

double share_same_top(const AgainstReference& a) {
  return static_cast<double>(a.same_top) / static_cast<double>(a.kl.count());
}

std::string windows_line(const Result& p) {
  const std::string size = p.bytes == 0 ? "" : " of " + show::counted(static_cast<std::int64_t>(p.bytes), "byte");
  const std::string stride =
      p.windows.stride == p.windows.context ? "" : fmt::format(", every {}", show::grouped(p.windows.stride));
  return fmt::format("{}{}, {} predicted in {} of up to {}{}", show::counted(p.tokens, "token"), size, show::grouped(p.predicted()),
                     show::counted(p.window_count, "window"), show::grouped(p.windows.context), stride);
}

std::vector<Row> figures(const Result& p) {
  std::vector<Row> rows{{"perplexity", with_error(perplexity_of(p.nll), perplexity_error(p.nll))},
                        {"nats per token", with_error(p.nll.mean(), p.nll.standard_error())}};
  if (p.bytes > 0) rows.push_back({"bits per byte", fmt::format("{:.6g}", p.bits_per_byte())});
  return rows;
}

std::vector<Row> figures(const AgainstReference& a) {
  const auto of = fmt::format("{} of {}", show::grouped(a.same_top), show::grouped(a.kl.count()));
  return {{"its perplexity", with_error(perplexity_of(a.nll), perplexity_error(a.nll))},
          {"nats per token above that", with_error(a.difference.mean(), a.difference.standard_error(), 3)},
          {"KL divergence from it, mean", with_error(a.kl.mean(), a.kl.standard_error(), 3)},
          {"99th percentile", show::short_number(a.kl_bins.quantile(kTail))},
          {"maximum", show::short_number(a.kl_bins.largest())},
          {"same most likely token", fmt::format("{:.4g} %, {}", 100 * share_same_top(a), of)}};
}

std::string lines_of(const std::vector<Row>& rows) {
  std::string lines;
  for (const Row& row : rows) lines += fmt::format("  {}{}\n", show::pad_right(row[0], 29), row[1]);
  return lines;
}

std::string markdown_of(const std::vector<Row>& rows) {
  std::string lines;
  for (const Row& row : rows) lines += fmt::format("| {} | {} |\n", row[0], row[1]);
  return lines;
}

std::string heading(const AgainstReference& a) { return fmt::format("against {}", check::formats_cell(a.reference)); }

Json json_of(const RunningMean& m) { return {{"mean", m.mean()}, {"standard_error", m.standard_error()}}; }

Json perplexity_json_of(const RunningMean& nll) {
  return {{"value", perplexity_of(nll)}, {"standard_error", perplexity_error(nll)}};
}

Json json_of(const session::Description& d) {
  return {{"name", d.name},
          {"family", d.family},
          {"system", d.system},
          {"format", d.format},
          {"past_format", d.past_format.empty() ? Json(nullptr) : Json(d.past_format)}};
}

Json json_of(const AgainstReference& a) {
  Json kl = json_of(a.kl);
  kl["p99"] = a.kl_bins.quantile(kTail);
  kl["max"] = a.kl_bins.largest();
  return {{"reference", json_of(a.reference)},
          {"reference_perplexity", perplexity_json_of(a.nll)},
          {"reference_nats_per_token", json_of(a.nll)},
          {"nats_per_token_above", json_of(a.difference)},
          {"kl_divergence", kl},
          {"same_top", a.same_top},
          {"share_same_top", share_same_top(a)}};
}

std::string number(double value) { return std::isnan(value) ? "" : fmt::format("{:.9g}", value); }

Row against_cells(const Result& p) {
  if (!p.against) return Row(11);
  const AgainstReference& a = *p.against;
  return {check::formats_cell(a.reference), number(perplexity_of(a.nll)),          number(perplexity_error(a.nll)),
          number(a.difference.mean()),      number(a.difference.standard_error()), number(a.kl.mean()),
          number(a.kl.standard_error()),    number(a.kl_bins.quantile(kTail)),     number(a.kl_bins.largest()),
          number(share_same_top(a)),        fmt::format("{}", a.same_top)};
}

}  // namespace

std::string report_text(const Result& p, bool colour) {
  const std::string head = show::shortened(check::subject_line(p.subject), show::terminal_columns);
  std::string text = (colour ? "\033[1m" + head + "\033[0m" : head) + "\n" + windows_line(p) + "\n\n";
  text += lines_of(figures(p));
  if (p.against) text += "\n" + heading(*p.against) + "\n" + lines_of(figures(*p.against));
  return text;
}

std::string report_markdown(const Result& p) {
  std::string text = fmt::format("## {}\n\n{}\n\n{}\n\n| | |\n| :--- | ---: |\n", show::printable(p.subject.name),
                                 check::subject_line(p.subject), windows_line(p));
  text += markdown_of(figures(p));
  if (p.against)
    text += fmt::format("\n| {} | |\n| :--- | ---: |\n{}", heading(*p.against), markdown_of(figures(*p.against)));
  return text;
}

std::string report_csv(const Result& p) {
  Row cells{p.subject.name,
            check::formats_cell(p.subject),
            p.subject.system,
            fmt::format("{}", p.windows.context),
            fmt::format("{}", p.windows.stride),
            fmt::format("{}", p.tokens),
            fmt::format("{}", p.predicted()),
            number(perplexity_of(p.nll)),
            number(perplexity_error(p.nll)),
            number(p.nll.mean()),
            number(p.nll.standard_error()),
            p.bytes == 0 ? "" : number(p.bits_per_byte())};
  for (std::string& c : against_cells(p)) cells.push_back(std::move(c));
  return "model,format,system,context,stride,tokens,predicted,perplexity,perplexity_error,nll,nll_error,bits_per_byte,"
         "against,reference_perplexity,reference_perplexity_error,nll_above,nll_above_error,kl,kl_error,kl_p99,kl_max,"
         "share_same_top,same_top\n" +
         show::csv_line(cells);
}

std::string report_json(const Result& p) {
  const Json json{{"schema", "pkv-perplexity/1"},
                  {"subject", json_of(p.subject)},
                  {"context", p.windows.context},
                  {"stride", p.windows.stride},
                  {"chunk", p.windows.chunk},
                  {"windows", p.window_count},
                  {"bytes", p.bytes},
                  {"tokens", p.tokens},
                  {"predicted", p.predicted()},
                  {"perplexity", perplexity_json_of(p.nll)},
                  {"nats_per_token", json_of(p.nll)},
                  {"bits_per_byte", p.bytes == 0 ? Json(nullptr) : Json(p.bits_per_byte())},
                  {"against", p.against ? json_of(*p.against) : Json(nullptr)}};
  return show::dumped(json);
}

}  // namespace pkv::perplexity
