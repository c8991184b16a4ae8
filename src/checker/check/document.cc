#include "checker/check/document.h"

#include <fmt/format.h>

#include <algorithm>

#include "checker/causes/causes.h"
#include "checker/check/charts.h"
#include "checker/compare/columns.h"
#include "show/columns.h"

namespace pkv::check {
namespace {

using show::Align;
using TableCell = show::Cell;
using show::Tone;

constexpr int kFewColumns = 24;  // of a text that is only to be recognised
constexpr show::Readers data_only = 0, told_at_length = show::plain | show::browser;

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

TableCell distance_of(const Difference& d) { return {.shown = distance_cell(d), .data = show::data(d.max_abs)}; }

TableCell past_of(const std::optional<Place>& place) {
  return {.data = place && place->past >= 0 ? fmt::format("{}", place->past) : ""};
}

TableCell position_of(const std::optional<Place>& place) {
  return {.data = place ? fmt::format("{}", place->position) : ""};
}

using ResultColumn = show::ColumnOf<Result>;

const ResultColumn kResultColumns[] = {
    {{"experiment", "experiment", Align::words}, [](const Result& r) { return show::words(r.name); }},
    {{"runs", "runs"}, [](const Result& r) { return show::count(r.runs); }},
    {{"positions", "positions"}, [](const Result& r) { return show::count(r.difference.positions); }},
    {{.key = "same_bits", .readers = data_only},
     [](const Result& r) { return show::words(r.difference.same_bits ? "yes" : "no"); }},
    {{"max |Δ|", "max_abs"}, [](const Result& r) { return distance_of(r.difference); }},
    {{"ULP", "ulps"}, [](const Result& r) { return show::short_count_of(r.difference.ulps); }},
    {{"KL", "max_kl"}, [](const Result& r) { return show::number(r.difference.max_kl, 2); }},
    {{"flips", "top_flips"}, [](const Result& r) { return show::count(r.difference.top_flips); }},
    {{.key = "not_finite", .readers = data_only}, [](const Result& r) { return show::count(r.difference.not_finite); }},
    {{"worst at", "", Align::tag}, [](const Result& r) { return show::words(place_cell(r.difference.worst)); }},
    {{.key = "worst_past", .readers = data_only}, [](const Result& r) { return past_of(r.difference.worst); }},
    {{.key = "worst_position", .readers = data_only}, [](const Result& r) { return position_of(r.difference.worst); }},
    {{.key = "left_out", .readers = data_only}, [](const Result& r) { return show::words(r.left_out); }},
};

// Of what was left out a program is told its name, that nothing ran, and why. So that the lines of several models can
// stand under each other, each says whose it is.
show::Table experiments(const std::string& model, const std::vector<Result>& results) {
  show::Table table = show::table_of<Result>(kResultColumns, results);
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].left_out.empty()) continue;
    table.rows[i].left_out = results[i].left_out;
    for (std::size_t c = 3; c + 1 < table.columns.size(); ++c) table.rows[i].cells[c].data = "";
  }
  table.columns.insert(table.columns.begin(), {.key = "model", .readers = data_only});
  for (show::Row& row : table.rows) row.cells.insert(row.cells.begin(), show::words(model));
  return table;
}

show::Marks proofs(const Report& r) {
  show::Marks marks;
  for (const Finding* f : findings_to_show(r.evidence)) marks.items.push_back({tone_of(f->shown), f->sentence});
  if (!r.causality.sentence.empty()) marks.items.push_back({tone_of(r.causality.holds), r.causality.sentence});
  return marks;
}

show::Entry cause(const Explanation& e) {
  show::Entry entry{.label = "cause", .name = e.cause, .statement = e.statement, .certain = e.confirmed};
  entry.facts = {{"evidence", e.evidence}, {"look at", e.look_at}};
  if (!e.reference.empty()) entry.facts.emplace_back("seen in", e.reference);
  return entry;
}

// What is said of causes, and where the runs part, which a page says beside its charts. Nothing where nothing was
// sought.
std::vector<show::Entry> entries(const Report& r) {
  std::vector<show::Entry> all;
  for (const Explanation& e : r.causes) all.push_back(cause(e));
  if (all.empty() && r.causes_tried > 0) all.push_back({.label = "cause", .statement = unknown_cause(r)});
  if (r.causes_tried > 0) all.push_back({.label = "cost", .statement = cost_of_explaining(r), .aside = true});
  if (r.parting) {
    all.push_back({.label = "where", .statement = r.parting->sentence, .readers = show::terminal | show::plain});
  }
  return all;
}

// What does for who wants a good answer short: what was fed and that the past was used, what is not sure, and the gain.
// Nothing where more than that must be told.
std::vector<std::string> gist(const Report& r) {
  const auto besides = [&](const std::string& reason) { return reason != r.bound.reason; };
  if (!r.verdict.holds() || std::ranges::any_of(r.verdict.reasons, besides)) return {};
  const std::string fed = show::counted(std::ssize(r.ids), "token");
  const std::string text = r.text.empty() ? fed : show::quoted(r.text, kFewColumns) + " → " + fed;
  std::vector<std::string> lines{text};
  const Finding& used = r.evidence.used;
  if (used.shown == Answer::yes && !r.evidence.influences.empty()) {
    double least = r.evidence.influences.front().without_it;
    for (const Influence& i : r.evidence.influences) least = std::min(least, i.without_it);
    lines.front() += fmt::format("; the past is used: without it logits move by {:.2g}", least);
  }
  for (const show::Mark& mark : proofs(r).items) {
    if (mark.tone != Tone::good) lines.push_back(fmt::format("{} {}", mark_of(mark.tone), mark.sentence));
  }
  if (r.gain) {
    lines.push_back(
        fmt::format("{} faster with its past ({})", gain_cell(r.gain), show::counted(r.gain->new_tokens, "new token")));
  }
  return lines;
}

show::Answer answer(const Report& r) {
  const Verdict& v = r.verdict;
  return {.conclusion = {tone_of(v.outcome), name_of(v.outcome), v.sentence},
          .headline = headline(v.outcome),
          .entries = entries(r),
          .reasons = v.reasons,
          .gist = gist(r)};
}

constexpr const char* kQuestion =
    "A language model that has read a text can keep what it computed for it, its past key values, and be fed only what "
    "is new. That is right where the answer is the one it would have given had it read everything anew. Here one text "
    "was fed at once, without a past, and in pieces, with one; the logits of every position after a split were "
    "compared.";

constexpr const char* kColumnsMean =
    "max |Δ|: the largest difference of a logit. ULP: the same in units of the last place. KL: Kullback-Leibler "
    "divergence of the next token's probabilities, in nats. flips: positions at which the most likely token changes.";

show::Block heading(const char* text) { return {show::Heading{text}, show::browser}; }

show::Block what_was_done(const Report& r) {
  show::Facts told;
  for (const Result& result : r.results) told.items.emplace_back(result.name, result.sentence);
  return {show::Fold{"What was done, and what the columns mean", {{told}, {show::Paragraph{kColumnsMean}}}},
          show::browser};
}

void add_parting(std::vector<show::Block>& body, const Report& r) {
  const Picture map = heat_map(r), layers = layers_chart(r);
  if (!r.parting && !map && !layers) return;
  const bool nowhere = !r.parting && r.total.max_abs == 0;
  body.push_back(heading(nowhere ? "The runs part nowhere" : "Where the runs part"));
  if (r.parting) body.push_back(told(show::capital(r.parting->sentence) + "."));
  for (const Picture& picture : {map, layers}) {
    if (picture) body.push_back(*picture);
  }
}

std::vector<show::Block> body(const Report& r) {
  std::vector<show::Block> all{heading("The logits of the last position"), {pandas_table(r.table)}};
  for (const Picture& picture : {logits_chart(r), differences_chart(r)}) {
    if (picture) all.push_back(*picture);
  }
  add_parting(all, r);
  all.insert(all.end(),
             {heading("Ways to use a past, each tried"), {experiments(r.subject.name, r.results)}, what_was_done(r)});
  all.insert(all.end(), {heading("Was anything tested?"), {proofs(r)}});
  if (r.total.same_bits && !r.subject.promises_same_bits) all.push_back(told(r.bound.reason));
  return all;
}

TableCell verdict_of(const Report& r) {
  TableCell cell = show::words(name_of(r.verdict.outcome));
  cell.tone = r.verdict.holds() ? Tone::good : Tone::bad;
  return cell;
}

TableCell shortened_to(int columns, const std::string& text) {
  TableCell cell = show::words(text);
  cell.brief = show::shortened(show::printable(text), columns);
  return cell;
}

// The format of the past only where there is room.
TableCell formats_of(const Description& subject) {
  TableCell cell = show::words(formats_cell(subject));
  cell.brief = show::shortened(show::printable(subject.format), 6);
  return cell;
}

TableCell gain_of(const std::optional<Gain>& gain) {
  return {.shown = gain_cell(gain), .brief = gain ? gain_cell(gain) : "-", .data = gain ? show::data(gain->times) : ""};
}

using ReportColumn = show::ColumnOf<Report>;

constexpr int kWidestName = 18;

const ReportColumn kReportColumns[] = {
    {{"model", "model", Align::words}, [](const Report& r) { return shortened_to(kWidestName, r.subject.name); }},
    {{"family", "family", Align::tag}, [](const Report& r) { return shortened_to(8, r.subject.family); }},
    {{"format", "format", Align::tag}, [](const Report& r) { return formats_of(r.subject); }},
    {{.key = "system", .readers = data_only}, [](const Report& r) { return show::words(r.subject.system); }},
    {{.name = "tokens", .key = "tokens", .readers = told_at_length},
     [](const Report& r) { return show::count(std::ssize(r.ids)); }},
    {{.key = "positions", .readers = data_only}, [](const Report& r) { return show::count(r.total.positions); }},
    {{"max |Δ|", "max_abs"}, [](const Report& r) { return distance_of(r.total); }},
    {{.key = "bound", .readers = data_only}, [](const Report& r) { return show::number(r.bound.value); }},
    {{"ULP", "ulps"}, [](const Report& r) { return show::short_count_of(r.total.ulps); }},
    {{.key = "max_kl", .readers = data_only}, [](const Report& r) { return show::number(r.total.max_kl); }},
    {{"flips", "top_flips"}, [](const Report& r) { return show::count(r.total.top_flips); }},
    {{"faster", ""}, [](const Report& r) { return gain_of(r.gain); }},
    {{"verdict", "verdict", Align::words}, [](const Report& r) { return verdict_of(r); }},
    {{.key = "times_faster", .readers = data_only}, [](const Report& r) { return gain_of(r.gain); }},
};

show::Row row_of(const NotChecked& other) {
  show::Row row;
  for (const ReportColumn& c : kReportColumns) {
    TableCell& cell = row.cells.emplace_back(TableCell{.brief = "-"});
    if (c.column.name == "model") cell = shortened_to(kWidestName, other.model);
    if (c.column.name != "verdict") continue;
    cell = show::words("not checked");
    cell.tone = Tone::unsure;
  }
  return row;
}

show::Table summary(std::span<const Report> reports, std::span<const NotChecked> others) {
  show::Table table = show::table_of<Report>(kReportColumns, reports);
  for (std::size_t i = 0; i < reports.size(); ++i) table.rows[i].cells.front().part = i;
  for (const NotChecked& other : others) table.rows.push_back(row_of(other));
  return table;
}

}  // namespace

show::Table pandas_table(const Table& t) {
  const auto cells = table_cells(t);
  show::Table table{.caption =
                        "Over the vocabulary: without past, with it, their absolute difference, and that as a share of "
                        "the first column."};
  for (const std::string& name : cells[0]) table.columns.push_back({.name = name});
  table.columns.front().align = Align::words;
  for (std::size_t i = 1; i < cells.size(); ++i) {
    show::Row& row = table.rows.emplace_back();
    for (const std::string& cell : cells[i]) row.cells.push_back({.shown = cell});
  }
  return table;
}

show::Document document(const Report& r) {
  const Description& d = r.subject;
  return {.name = d.name,
          .title = fmt::format("Can the past of {} be reused?", d.name),
          .about = {d.family, formats_cell(d), d.system},
          .extent = show::counted(std::ssize(r.ids), "token"),
          .sample = r.text,
          .answer = answer(r),
          .question = kQuestion,
          .body = body(r),
          .notes = r.notes,
          .folded = "The tables, the charts and the proofs",
          .environment = r.environment,
          .command = r.command};
}

show::Document review(std::span<const Report> reports, std::span<const NotChecked> others) {
  const auto holding = std::count_if(reports.begin(), reports.end(), [](auto& r) { return r.verdict.holds(); });
  show::Document all{.title = "Can their pasts be reused?",
                     .lead = fmt::format("Yes for {} of {}", holding, show::counted(std::ssize(reports), "model")),
                     .question = kQuestion,
                     .overview = {{summary(reports, others)}}};
  for (const Report& r : reports) all.parts.push_back(document(r));
  for (const NotChecked& n : others) all.missing.push_back({fmt::format("{}: not checked", n.model), n.message});
  if (!reports.empty()) all.environment = reports[0].environment, all.command = reports[0].command;
  return all;
}

}  // namespace pkv::check
