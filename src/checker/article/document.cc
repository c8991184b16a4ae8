#include "checker/article/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/json_writer.h"
#include "checker/causes/causes.h"
#include "checker/check/document.h"
#include "checker/compare/columns.h"
#include "show/columns.h"

namespace pkv::article {
namespace {

using Conclusion = PublishedRun::Conclusion;
using show::Tone;

constexpr std::string_view kTitle = "The article's seven runs, told again";
constexpr std::string_view kSource = "\"Past Key Values and Large Language Models\", a blog post of 30 June 2023";
constexpr std::string_view kHowThen = "As the post would have printed it, with the libraries of that month";
constexpr std::string_view kHowNow = "By a correct implementation";

struct NamedFigure {
  std::string_view name;
  double Figures::*figure;
};
constexpr NamedFigure kFigures[] = {
    {"mean without", &Figures::mean_without}, {"std without", &Figures::std_without},
    {"min without", &Figures::min_without},   {"max without", &Figures::max_without},
    {"mean with", &Figures::mean_with},       {"mean |Δ|", &Figures::mean_abs},
    {"max |Δ|", &Figures::max_abs},           {"max relative Δ", &Figures::max_relative}};
constexpr std::size_t kFiguresWithout = 4;

std::string figure(double value) {
  return value != 0 && std::abs(value) < 1e-6 ? fmt::format("{:.6e}", value) : fmt::format("{:.6f}", value);
}

std::string percent(double share) {
  return share < 0.995 ? fmt::format("{:.2g} %", 100 * share) : show::grouped(std::llround(100 * share)) + " %";
}

// Of one of the post's figures; its last digit is a rounding of its own.
double off_by(double ours, double posts) { return std::abs(ours - posts) / std::abs(posts); }

std::string conclusion_name(Conclusion c) {
  return c == Conclusion::can ? "can" : c == Conclusion::cannot ? "cannot" : "differs";
}

std::string stand_in(const RetoldRun& r) {
  const std::string model = r.real ? r.then.subject.name : r.then.subject.name + " stands for it";
  return show::printable(fmt::format("{} · {}", check::formats_cell(r.then.subject), model));
}

// The cause as the checker found it, or what it says of a run without a fault.
std::string cause_sentence(const RetoldRun& r) {
  if (r.then.verdict.holds()) return "nothing went wrong: " + r.then.verdict.sentence;
  if (r.then.causes.empty()) return unknown_cause(r.then);
  const check::Explanation& e = r.then.causes.front();
  return fmt::format("{}: {}. That {}.", e.cause, e.statement, e.evidence);
}

std::string posts_rounding(const RetoldRun& r) {
  const check::Bound b = published_bound(*r.published);
  const double apart = r.published->figures.max_abs;
  const std::string could = fmt::format("{:.2g} ({} layers in {})", b.value, b.layers, b.values_format);
  if (apart <= b.value) {
    return fmt::format("The post's own logits were up to {} apart, and rounding could explain {}.",
                       show::short_number(apart), could);
  }
  return fmt::format("The post's own logits were up to {} apart, {} times what rounding could explain: {}.",
                     show::short_number(apart), show::grouped(std::llround(apart / b.value)), could);
}

std::string now_sentence(const RetoldRun& r) { return name_of(r.now.verdict.outcome) + ": " + r.now.verdict.sentence; }

show::Table figure_table(const RetoldRun& r) {
  const Figures ours = figures_of(r.then.table);
  show::Table table{.columns = {{.align = show::Align::words}, {"the post"}, {"pkv"}, {"off by"}}};
  for (const auto& [name, member] : kFigures) {
    const double a = r.published->figures.*member, b = ours.*member;
    table.rows.push_back({{show::words(std::string(name)), show::words(figure(a)), show::words(figure(b)),
                           show::words(percent(off_by(b, a)))}});
  }
  return table;
}

std::string figures_sentence(const RetoldRun& r) {
  const Figures ours = figures_of(r.then.table);
  double most = 0;
  for (const auto& [name, member] : std::span(kFigures).first(kFiguresWithout)) {
    most = std::max(most, off_by(ours.*member, r.published->figures.*member));
  }
  const double with = off_by(ours.mean_with, r.published->figures.mean_with);
  return fmt::format("Without past pkv's figures are at most {} off the post's; with past its mean is {} off.",
                     percent(most), percent(with));
}

show::Cell really(const RetoldRun& r) {
  show::Cell cell = show::words(r.now.verdict.holds() ? "can" : "cannot");
  cell.tone = r.now.verdict.holds() ? Tone::good : Tone::bad;
  return cell;
}

const show::ColumnOf<RetoldRun> kRunColumns[] = {
    {{.name = "run", .align = show::Align::words},
     [](const RetoldRun& r) { return show::words(std::string(r.published->name)); }},
    {{.name = "published", .align = show::Align::words},
     [](const RetoldRun& r) {
       const PublishedRun& p = *r.published;
       return show::words(fmt::format("{}, {:.2g}", conclusion_name(p.conclusion), p.figures.max_relative));
     }},
    {{.name = "what happened", .align = show::Align::words},
     [](const RetoldRun& r) { return show::words(what_happened(r)); }},
    {{.name = "really", .align = show::Align::words}, really},
};

std::string closing(std::span<const RetoldRun> runs) {
  std::int64_t cannot = 0, can_after_all = 0;
  for (const RetoldRun& r : runs) {
    if (r.published->conclusion != Conclusion::cannot) continue;
    cannot++;
    can_after_all += r.now.verdict.holds() ? 1 : 0;
  }
  return fmt::format(
      "Of {} whose model was found unable to reuse its past, {} can. \"published\": the post's "
      "conclusion and its largest relative Δ; \"differs\" where it drew none.",
      show::counted(cannot, "run"), can_after_all);
}

show::Block paragraph(std::string text, int indent = 2, bool close = false) {
  return {show::Paragraph{std::move(text), indent, close}};
}

Tone tone_of(const check::Report& report) { return report.verdict.holds() ? Tone::good : Tone::bad; }

show::Document part(const RetoldRun& r, std::size_t at, std::size_t count) {
  show::Document all{.name = fmt::format("{}/{}  {}", at + 1, count, r.published->name), .about = {stand_in(r)}};
  const auto add = [&](show::Block block) { all.body.push_back(std::move(block)); };
  if (!r.published->remark.empty()) add(paragraph(fmt::format("{}.", r.published->remark), 5, true));
  add(paragraph(fmt::format("{}:", kHowThen)));
  add({pandas_table(r.then.table)});
  add({show::Conclusion{tone_of(r.then), "", cause_sentence(r), posts_rounding(r)}});
  if (r.real) {
    add({figure_table(r)});
    add(paragraph(figures_sentence(r), 4));
  }
  add(paragraph(fmt::format("{}, in {}:", kHowNow, check::formats_cell(r.now.subject))));
  add({pandas_table(r.now.table)});
  add({show::Conclusion{tone_of(r.now), "", now_sentence(r)}});
  return all;
}

void write_figures(JsonWriter& w, const Figures& f) {
  w.object("figures", [&] {
    w.member("mean_without", f.mean_without);
    w.member("mean_with", f.mean_with);
    w.member("mean_abs", f.mean_abs);
    w.member("max_abs", f.max_abs);
    w.member("max_relative", f.max_relative);
    w.member("std_without", f.std_without);
    w.member("min_without", f.min_without);
    w.member("max_without", f.max_without);
  });
}

// Reports are as `pkv check --output json` writes them.
void write(JsonWriter& w, const RetoldRun& r) {
  const PublishedRun& p = *r.published;
  w.object([&] {
    w.member("run", p.name);
    w.object("published", [&] {
      w.member("conclusion", conclusion_name(p.conclusion));
      write_figures(w, p.figures);
      w.member("rounding_bound", published_bound(p).value);
    });
    w.member("model", r.then.subject.name);
    w.member("is_the_posts_model", r.real);
    w.member("loaded_in", p.load_in);
    w.key("remark");
    p.remark.empty() ? w.null() : w.value(p.remark);
    write_figures(w, figures_of(r.then.table));
    w.member("what_happened", what_happened(r));
    w.member("explained", explained(r));
    w.member("can_reuse_past", r.now.verdict.holds());
    w.member("as_then", r.then);
    w.member("correct", r.now);
  });
}

}  // namespace

show::Document document(std::span<const RetoldRun> runs) {
  show::Document all{.name = std::string(kTitle), .extent = std::string(kSource)};
  for (std::size_t i = 0; i < runs.size(); ++i) all.parts.push_back(part(runs[i], i, runs.size()));
  all.overview = {{show::table_of<RetoldRun>(kRunColumns, runs)}, paragraph(closing(runs), 0)};
  return all;
}

std::string report_json(std::span<const RetoldRun> runs) {
  JsonWriter w;
  w.object([&] {
    w.member("schema", "pkv-article/1");
    w.member("source", kSource);
    w.member("text", post_text);
    w.array("runs", [&] {
      for (const RetoldRun& r : runs) write(w, r);
    });
  });
  return std::move(w).text() + "\n";
}

}  // namespace pkv::article
