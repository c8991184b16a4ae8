#include <fmt/format.h>

#include "checker/measure/charts.h"
#include "checker/measure/numbers.h"
#include "checker/measure/report.h"
#include "show/columns.h"
#include "show/html/pieces.h"

namespace pkv::measure {
namespace {

using show::html::Html;
using show::html::text;

// A figure with its unit and its spread, not broken into lines.
Html cell(const std::string& figure) {
  std::string whole;
  for (const char c : figure) whole += c == ' ' ? "\u00a0" : std::string(1, c);
  return text(whole);
}

Html verdict(const Result& r) {
  const Generation* g = longest_generation(r);
  const std::string title =
      !r.holds()     ? "No speed-up: another answer"
      : g == nullptr ? "The same answer"
                     : fmt::format("{}{} times faster", g->sampled() ? "About " : "", times_text(g->faster()));
  return show::html::verdict(r.holds() ? show::html::Tone::good : show::html::Tone::bad, title,
                       show::html::paragraph(text(show::capital(headline(r)))));
}

std::vector<Html> row_of(const Generation& g, bool past) {
  const Spread total = spread_of(past ? g.with_total : g.without_total);
  const Curve& curve = past ? g.with_past : g.without_past;
  const std::string about = !past && g.sampled() ? "~" : "";
  return {text(prompt_text(g)),
          cell(past ? "with past" : "without past"),
          cell(about + spread_text(total)),
          cell(about + rate_text(static_cast<double>(g.new_tokens) / total.median)),
          cell(time_text(median_of(curve.seconds.front()))),
          cell(time_text(median_of(curve.seconds.back()))),
          cell(past ? times_text(g.faster()) : ""),
          text(past ? share_text(g.read_share) : ""),
          text(past ? share_text(g.fma_share) : "")};
}

Html generation(const Result& r) {
  if (r.generation.empty()) return {};
  show::html::Table table{.head = {"prompt", "", "total", "tokens/s", "first token", "last token", "times faster",
                             "share of read rate", "prompt: share of FMA rate"},
                    .words = 2};
  for (const Generation& g : r.generation) {
    table.rows.push_back(row_of(g, true));
    table.rows.push_back(row_of(g, false));
  }
  Html all = show::html::heading("Generation") + show::html::table(table);
  for (const Generation& g : r.generation) {
    all += show::html::subheading(fmt::format("{} after {}", show::counted(g.new_tokens, "new token"), prompt_text(g)));
    all += show::html::paragraph(text(fmt::format(
        "{} times faster; {}. A token reads {} and takes {}FLOP. The logits' hash is {}.", times_text(g.faster()),
        passes_text(g), bytes_text(g.bytes_per_token), large_text(g.flop_per_token), hash_text(g.hash))));
    if (g.new_tokens > 1) all += token_chart(g) + total_chart(g);
  }
  return all;
}

Html reuse(const Result& r) {
  if (r.reuse.empty()) return {};
  show::html::Table table{.head = {"prefix"}};
  for (int way = 0; way < Reuse::ways; ++way) {
    table.head.emplace_back(name_of(static_cast<Reuse::Way>(way)));
    if (way > 0) table.head.emplace_back("times");
  }
  table.head.insert(table.head.end(), {"saved past", "hash of the logits"});
  for (const Reuse& u : r.reuse) {
    std::vector<Html> row{text(show::grouped(u.prefix))};
    for (int way = 0; way < Reuse::ways; ++way) {
      const bool measured = !u.seconds[way].empty();
      row.push_back(cell(measured ? spread_text(spread_of(u.seconds[way])) : ""));
      if (way > 0) row.push_back(cell(measured ? times_text(u.faster(static_cast<Reuse::Way>(way))) : ""));
    }
    row.push_back(cell(u.saved_bytes > 0 ? bytes_text(static_cast<double>(u.saved_bytes)) : ""));
    row.push_back(text(hash_text(u.hash)));
    table.rows.push_back(row);
  }
  Html all = show::html::heading("Reuse of a prefix") + show::html::table(table);
  for (const std::string& sentence : worth_sentences(r)) all += show::html::paragraph(text(sentence));
  return all + reuse_chart(r.reuse);
}

Html machine(const Result& r) {
  if (r.read_rate.empty()) return {};
  return show::html::heading("The machine, in the same run") +
         show::html::facts({{"reads", text(bytes_text(median_of(r.read_rate)) + " per second")},
                      {"multiply-adds", text(large_text(median_of(r.fma_rate)) + " per second")},
                      {"peak memory", text(bytes_text(static_cast<double>(r.peak_memory)))}});
}

}  // namespace

std::string report_html(const Result& r, const show::Environment& environment, std::string_view command) {
  const session::Description& d = r.subject;
  Html body = verdict(r) + generation(r) + reuse(r) + machine(r);
  for (const std::string& note : r.notes) body += show::html::paragraph(text(note));
  body += show::html::origin(environment, command);
  const std::string lead = fmt::format("{} · {}, past {} · {} · {} in turn", d.family, d.format, d.past_format,
                                       d.system, show::counted(r.repetitions, "repetition"));
  return show::html::document({.title = d.name + ": what the past gains", .lead = text(lead), .body = body});
}

}  // namespace pkv::measure
