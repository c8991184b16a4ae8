#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "checker/article/article.h"
#include "checker/causes/causes.h"
#include "checker/compare/columns.h"
#include "show/dumped.h"

namespace pkv::check {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;
using Conclusion = PublishedRun::Conclusion;

constexpr std::string_view kTitle = "The article's seven runs, told again";
constexpr std::string_view kSource = "\"Past Key Values and Large Language Models\", a blog post of 30 June 2023";
constexpr std::string_view kHowThen = "As the post would have printed it, with the libraries of that month";
constexpr std::string_view kHowNow = "By a correct implementation";

struct Named {
  std::string_view name;
  double Figures::*figure;
};
constexpr Named kFigures[] = {{"mean without", &Figures::mean_without}, {"std without", &Figures::std_without},
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
  return show::printable(fmt::format("{} · {}", formats_cell(r.then.subject), model));
}

// The cause as the checker found it, or what it says of a run without a fault.
std::string cause_sentence(const RetoldRun& r) {
  if (r.then.verdict.holds()) return "nothing went wrong: " + r.then.verdict.sentence;
  if (r.then.causes.empty()) return unknown_cause(r.then);
  const Explanation& e = r.then.causes.front();
  return fmt::format("{}: {}. That {}.", e.cause, e.statement, e.evidence);
}

std::string posts_rounding(const RetoldRun& r) {
  const Bound b = published_bound(*r.published);
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

std::vector<Row> figure_rows(const RetoldRun& r) {
  const Figures ours = figures_of(r.then.table);
  std::vector<Row> rows{{"", "the post", "pkv", "off by"}};
  for (const auto& [name, member] : kFigures) {
    const double a = r.published->figures.*member, b = ours.*member;
    rows.push_back({std::string(name), figure(a), figure(b), percent(off_by(b, a))});
  }
  return rows;
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

Row summary_row(const RetoldRun& r) {
  return {std::string(r.published->name),
          fmt::format("{}, {:.2g}", conclusion_name(r.published->conclusion), r.published->figures.max_relative),
          what_happened(r), r.now.verdict.holds() ? "✓ can" : "✗ cannot"};
}

const Row kSummaryHeading{"run", "published", "what happened", "really"};

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

std::string heading(const RetoldRun& r, std::size_t at, std::size_t count) {
  return fmt::format("{}/{}  {}", at + 1, count, r.published->name);
}

// Left columns, each as wide as its widest cell.
std::string summary_lines(std::span<const RetoldRun> runs, bool colour) {
  std::vector<Row> rows{kSummaryHeading};
  for (const RetoldRun& r : runs) rows.push_back(summary_row(r));
  std::string all;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i) {
      int width = 0;
      for (const Row& other : rows) width = std::max(width, show::columns_of(other[i]));
      all += show::pad_right(row[i], width) + "  ";
    }
    const bool can = row.back().starts_with("✓");
    const bool painted = colour && &row != &rows.front();
    all += painted ? fmt::format("\033[1;{}m{}\033[0m\n", can ? 32 : 31, row.back()) : row.back() + "\n";
  }
  return all;
}

std::string run_text(const RetoldRun& r, std::size_t at, std::size_t count, bool colour) {
  const std::string head = heading(r, at, count);
  std::string all = colour ? fmt::format("\033[1m{}\033[0m", head) : head;
  all += fmt::format(" · {}\n", show::shortened(stand_in(r), show::terminal_columns - show::columns_of(head) - 3));
  if (!r.published->remark.empty()) all += show::wrapped("     ", fmt::format("{}.", r.published->remark));
  all += fmt::format("\n  {}:\n\n{}\n", kHowThen, show::aligned(table_cells(r.then.table), 2));
  all += show::wrapped(r.then.verdict.holds() ? "  ✓ " : "  ✗ ", cause_sentence(r)) +
         show::wrapped("    ", posts_rounding(r));
  if (r.real) all += "\n" + show::aligned(figure_rows(r), 2) + "\n" + show::wrapped("    ", figures_sentence(r));
  all += fmt::format("\n  {}, in {}:\n\n{}\n", kHowNow, formats_cell(r.now.subject),
                     show::aligned(table_cells(r.now.table), 2));
  return all + show::wrapped(r.now.verdict.holds() ? "  ✓ " : "  ✗ ", now_sentence(r)) + "\n";
}

std::string run_markdown(const RetoldRun& r, std::size_t at, std::size_t count) {
  const std::string remark = r.published->remark.empty() ? "" : fmt::format("\n{}.\n", r.published->remark);
  std::string all = fmt::format("## {}\n\n{}\n{}\n", heading(r, at, count), stand_in(r), remark);
  all += fmt::format("{}:\n\n{}\n", kHowThen, show::markdown_table(table_cells(r.then.table)));
  all += fmt::format("**{}** {}\n\n", cause_sentence(r), posts_rounding(r));
  if (r.real) all += fmt::format("{}\n{}\n\n", show::markdown_table(figure_rows(r)), figures_sentence(r));
  return all + fmt::format("{}, in {}:\n\n{}\n**{}**\n\n", kHowNow, formats_cell(r.now.subject),
                           show::markdown_table(table_cells(r.now.table)), now_sentence(r));
}

Json json_of(const Figures& f) {
  return {{"mean_without", f.mean_without}, {"mean_with", f.mean_with},       {"mean_abs", f.mean_abs},
          {"max_abs", f.max_abs},           {"max_relative", f.max_relative}, {"std_without", f.std_without},
          {"min_without", f.min_without},   {"max_without", f.max_without}};
}

// Reports are as `pkv check --output json` writes them.
Json json_of(const RetoldRun& r) {
  const PublishedRun& p = *r.published;
  const Bound bound = published_bound(p);
  return {{"run", p.name},
          {"published",
           {{"conclusion", conclusion_name(p.conclusion)},
            {"figures", json_of(p.figures)},
            {"rounding_bound", bound.value}}},
          {"model", r.then.subject.name},
          {"is_the_posts_model", r.real},
          {"loaded_in", p.load_in},
          {"remark", p.remark.empty() ? Json(nullptr) : Json(p.remark)},
          {"figures", json_of(figures_of(r.then.table))},
          {"what_happened", what_happened(r)},
          {"explained", explained(r)},
          {"can_reuse_past", r.now.verdict.holds()},
          {"as_then", Json::parse(report_json(r.then))},
          {"correct", Json::parse(report_json(r.now))}};
}

}  // namespace

std::string article_text_report(std::span<const RetoldRun> runs, bool colour) {
  std::string all = fmt::format("{}\n{}\n\n", kTitle, kSource);
  for (std::size_t i = 0; i < runs.size(); ++i) all += run_text(runs[i], i, runs.size(), colour);
  return all + summary_lines(runs, colour) + "\n" + show::wrapped("", closing(runs));
}

std::string article_markdown(std::span<const RetoldRun> runs) {
  std::string all = fmt::format("# {}\n\n{}.\n\n", kTitle, kSource);
  for (std::size_t i = 0; i < runs.size(); ++i) all += run_markdown(runs[i], i, runs.size());
  std::vector<Row> rows{kSummaryHeading};
  for (const RetoldRun& r : runs) rows.push_back(summary_row(r));
  return all + show::markdown_table(rows) + "\n" + closing(runs) + "\n";
}

std::string article_json(std::span<const RetoldRun> runs) {
  Json all = Json::array();
  for (const RetoldRun& r : runs) all.push_back(json_of(r));
  return show::dumped(Json{{"schema", "pkv-article/1"}, {"source", kSource}, {"text", article_text}, {"runs", all}});
}

}  // namespace pkv::check
