#include <fmt/format.h>

#include <algorithm>

#include "checker/causes/causes.h"
#include "checker/check/charts.h"
#include "checker/check/report.h"
#include "checker/compare/columns.h"
#include "show/html/pieces.h"

namespace pkv::check {
namespace {

using show::html::Html;
using show::html::text;
using show::html::Tone;

Tone tone_of(Outcome outcome) {
  if (outcome == Outcome::identical || outcome == Outcome::within_rounding) return Tone::good;
  return outcome == Outcome::empty ? Tone::unsure : Tone::bad;
}

Tone tone_of(Answer shown) {
  return shown == Answer::yes ? Tone::good : shown == Answer::no ? Tone::bad : Tone::unsure;
}

std::string headline(Outcome outcome) {
  const char* answer = tone_of(outcome) == Tone::good ? "Yes" : tone_of(outcome) == Tone::bad ? "No" : "Not shown";
  return fmt::format("{}: {}", answer, name_of(outcome));
}

Html sentence(std::string_view words) { return text(show::capital(std::string(words)) + (words.ends_with('.') ? "" : ".")); }

// What the verdict's sentence says already is not said again.
Html cause(const Explanation& e, const Verdict& verdict) {
  const bool said = verdict.sentence.find(e.statement) != std::string::npos;
  Html all = show::html::paragraph(show::html::strong(e.confirmed ? "Cause: " : "Perhaps: ") + show::html::code(e.cause) +
                             (said ? Html{} : text(". ") + sentence(e.statement)));
  std::vector<std::pair<std::string, Html>> facts{{"Evidence", text(e.evidence)}, {"Look at", text(e.look_at)}};
  if (!e.reference.empty()) facts.emplace_back("Seen in", text(e.reference));
  return all + show::html::facts(facts);
}

Html verdict(const Report& r) {
  Html inside = show::html::paragraph(sentence(r.verdict.sentence));
  for (const Explanation& e : r.causes) inside += cause(e, r.verdict);
  if (r.causes.empty() && r.causes_tried > 0) {
    inside += show::html::paragraph(show::html::strong("Cause: ") + text(unknown_cause(r)));
  }
  if (r.causes_tried > 0) inside += show::html::paragraph(show::html::muted(show::capital(cost_of_explaining(r)) + "."));
  Html all = show::html::verdict(tone_of(r.verdict.outcome), headline(r.verdict.outcome), inside);
  for (const auto& reason : r.verdict.reasons) all += show::html::paragraph(text(reason));
  return all;
}

Html question() {
  return show::html::paragraph(
      text("A language model that has read a text can keep what it computed for it, its past key values, and be fed "
           "only what is new. That is right where the answer is the one it would have given had it read everything "
           "anew. Here one text was fed at once, without a past, and in pieces, with one; the logits of every position "
           "after a split were compared."));
}

Html article_table(const Table& t) {
  const auto cells = table_cells(t);
  show::html::Table table{.head = cells[0],
                    .caption =
                        "Over the vocabulary: without past, with it, their absolute difference, and that as a "
                        "share of the first column."};
  for (std::size_t i = 1; i < cells.size(); ++i) {
    auto& row = table.rows.emplace_back();
    for (const std::string& cell : cells[i]) row.push_back(text(cell));
  }
  return show::html::table(table);
}

std::vector<Html> row_of(const Result& r) {
  if (!r.left_out.empty()) return {text(r.name), {}, {}, {}, {}, {}, {}, show::html::muted("left out: " + r.left_out)};
  const Difference& d = r.difference;
  return {text(r.name),
          text(show::grouped(r.runs)),
          text(show::grouped(d.positions)),
          text(distance_cell(d)),
          text(show::short_count(d.ulps)),
          text(show::short_number(d.max_kl)),
          text(show::grouped(d.top_flips)),
          text(place_cell(d.worst))};
}

Html experiments(const Report& r) {
  show::html::Table table{.head = {"", "runs", "positions", "max |Δ|", "ULP", "KL", "flips", "worst at"}, .words_last = true};
  for (const auto& result : r.results) table.rows.push_back(row_of(result));
  std::vector<std::pair<std::string, Html>> told;
  for (const auto& result : r.results) told.emplace_back(result.name, text(result.sentence));
  return show::html::table(table) +
         show::html::details("What was done, and what the columns mean",
                       show::html::facts(told) +
                           show::html::paragraph(text(
                               "max |Δ|: the largest difference of a logit. ULP: the same in units of the last place. "
                               "KL: Kullback-Leibler divergence of the next token's probabilities, in nats. flips: "
                               "positions at which the most likely token changes.")));
}

Html proofs(const Report& r) {
  std::vector<std::pair<Tone, Html>> items;
  for (const Finding* f : findings_to_show(r.evidence)) items.emplace_back(tone_of(f->shown), sentence(f->sentence));
  if (!r.causality.sentence.empty()) items.emplace_back(tone_of(r.causality.holds), sentence(r.causality.sentence));
  return show::html::marks(items);
}

using Heading = Html (*)(std::string_view);

Html body(const Report& r, Heading heading) {
  Html all = heading("The logits of the last position") + article_table(r.table);
  all += logits_chart(r) + differences_chart(r);
  Html parting = r.parting ? show::html::paragraph(sentence(r.parting->sentence)) : Html{};
  parting += heat_map(r) + layers_chart(r);
  if (!parting.markup.empty()) all += heading("Where the runs part") + parting;
  all += heading("Ways to use a past, each tried") + experiments(r);
  all += heading("Was anything tested?") + proofs(r);
  if (r.total.same_bits && !r.subject.promises_same_bits) all += show::html::paragraph(text(r.bound.reason));
  for (const auto& note : r.notes) all += show::html::paragraph(text(note));
  return all;
}

Html subject(const Report& r) {
  std::string words;
  for (const auto& part : {r.subject.family, formats_cell(r.subject), r.subject.system}) {
    if (!part.empty()) words += part + " · ";
  }
  words += show::counted(std::ssize(r.ids), "token");
  return text(words) + (r.text.empty() ? Html{} : Html{"<br>"} + text(show::quoted(r.text, 400)));
}

Html plain_heading(std::string_view words) { return show::html::heading(words); }

Html summary_table(std::span<const Report> reports, std::span<const NotChecked> others) {
  show::html::Table table{
      .head = {"model", "family", "format", "tokens", "max |Δ|", "ULP", "flips", "faster", "can it be reused?"},
      .words = 3,
      .words_last = true};
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const Report& r = reports[i];
    table.rows.push_back({show::html::link(fmt::format("model-{}", i + 1), r.subject.name), text(r.subject.family),
                          text(formats_cell(r.subject)), text(show::grouped(std::ssize(r.ids))), text(distance_cell(r.total)),
                          text(show::short_count(r.total.ulps)), text(show::grouped(r.total.top_flips)), text(gain_cell(r.gain)),
                          show::html::toned(tone_of(r.verdict.outcome), headline(r.verdict.outcome))});
  }
  for (const auto& other : others) {
    table.rows.push_back(
        {text(other.model), {}, {}, {}, {}, {}, {}, {}, show::html::toned(Tone::unsure, "could not be checked")});
  }
  return show::html::table(table);
}

}  // namespace

std::string report_html(const Report& r) {
  const Html origin = show::html::origin(r.environment, r.command);
  return show::html::document({.title = fmt::format("Can the past of {} be reused?", r.subject.name),
                         .lead = subject(r),
                         .body = verdict(r) + question() + body(r, plain_heading) + origin});
}

std::string summary_html(std::span<const Report> reports, std::span<const NotChecked> others) {
  const auto holding = std::count_if(reports.begin(), reports.end(), [](auto& r) { return r.verdict.holds(); });
  Html all = summary_table(reports, others) + question();
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const Report& r = reports[i];
    all += show::html::heading(r.subject.name, fmt::format("model-{}", i + 1)) + show::html::paragraph(subject(r));
    all += verdict(r) + show::html::details("The tables, the charts and the proofs", body(r, show::html::subheading));
  }
  for (const auto& other : others) all += show::html::heading(other.model) + show::html::preformatted(other.message);
  if (!reports.empty()) all += show::html::origin(reports[0].environment, reports[0].command);
  return show::html::document({.title = "Can their pasts be reused?",
                         .lead = text(fmt::format("Yes for {} of {}", holding, show::counted(std::ssize(reports), "model"))),
                         .body = all});
}

}  // namespace pkv::check
