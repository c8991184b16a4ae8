// Reports of checks. What Python finds beside the checker's experiments is added to them, and judged with them.
#include <fmt/format.h>

#include <cmath>

#include "bind.h"
#include "checker/causes/cause.h"
#include "checker/causes/observe.h"
#include "checker/check/check.h"
#include "checker/check/verdict.h"
#include "checker/compare/compare.h"
#include "checker/compare/wide.h"
#include "checker/recorded/recorded.h"
#include "show/document.h"
#include "subjects/recorded.h"

namespace pkv::python {
namespace {

using check::Report;

check::Splits splits_of(const nb::object& given) {
  if (given.is_none()) return {};
  if (nb::isinstance<nb::str>(given)) return check::parse_splits(nb::cast<std::string>(given));
  return {check::Splits::Choice::listed, nb::cast<std::vector<std::int64_t>>(given)};
}

std::shared_ptr<Report> run(nb::object subject, const Ids& ids, nb::object splits, const std::string& text,
                            double rounding) {
  const std::shared_ptr<session::Subject> fed = subject_of(std::move(subject));
  const check::Options options{
      .splits = splits_of(splits), .text = text, .progress = stoppable(), .rounding = rounding};
  nb::gil_scoped_release free;
  auto report = std::make_shared<Report>(check::run(*fed, ids, options));
  report->environment = here();
  return report;
}

std::shared_ptr<Report> recorded(const std::string& without, const std::string& with) {
  nb::gil_scoped_release free;
  auto report = std::make_shared<Report>(
      check::compare_recordings(subjects::read_recording(without), subjects::read_recording(with)));
  report->environment = here();
  return report;
}

nb::object answer(check::Answer a) {
  if (a == check::Answer::unknown) return nb::none();
  return nb::bool_(a == check::Answer::yes);
}

nb::object place(const std::optional<check::Place>& p) {
  if (!p) return nb::none();
  return nb::make_tuple(p->past, p->position);
}

nb::dict table(const Report& r) {
  nb::dict all;
  const auto column = [&](const char* name, const check::Summary& summary) {
    nb::dict rows;
    const auto values = summary.values();
    for (std::size_t i = 0; i < values.size(); ++i) {
      rows[nb::str(check::Summary::names[i].data(), check::Summary::names[i].size())] = values[i];
    }
    all[name] = rows;
  };
  column("without past", r.table.without_past);
  column("with past", r.table.with_past);
  column("absolute Δ", r.table.absolute);
  column("relative Δ", r.table.relative);
  return all;
}

nb::list experiments(const Report& r) {
  nb::list all;
  for (const check::Result& result : r.results) {
    nb::dict row;
    const check::Difference& d = result.difference;
    row["experiment"] = result.name;
    row["what"] = result.sentence;
    row["runs"] = result.runs;
    row["positions"] = d.positions;
    row["same bits"] = result.left_out.empty() ? nb::object(nb::bool_(d.same_bits)) : nb::none();
    row["max |Δ|"] = result.left_out.empty() ? nb::object(nb::float_(d.max_abs)) : nb::none();
    row["top flips"] = d.top_flips;
    row["first"] = place(d.first);
    row["left out"] = result.left_out;
    all.append(row);
  }
  return all;
}

nb::list causes(const Report& r) {
  nb::list all;
  for (const check::Explanation& e : r.causes) {
    nb::dict row;
    row["cause"] = e.cause;
    row["statement"] = e.statement;
    row["look at"] = e.look_at;
    row["evidence"] = e.evidence;
    row["confirmed"] = e.confirmed;
    row["explained"] = e.explained;
    all.append(row);
  }
  return all;
}

nb::dict evidence(const Report& r) {
  nb::dict all;
  const auto add = [&](const char* name, const check::Finding& f) {
    nb::dict row;
    row["shown"] = answer(f.shown);
    row["sentence"] = f.sentence;
    all[name] = row;
  };
  add("exists", r.evidence.exists);
  add("length", r.evidence.length);
  add("used", r.evidence.used);
  add("control", r.evidence.control);
  add("again", r.evidence.again);
  nb::dict causal;
  causal["shown"] = answer(r.causality.holds);
  causal["sentence"] = r.causality.sentence;
  all["causal"] = causal;
  return all;
}

// An experiment that Python made: rows with a past against the same rows without one. `first`: their first position.
void add_experiment(Report& r, const std::string& name, const std::string& sentence, nb::object right, nb::object got,
                    std::int64_t past, std::int64_t first) {
  const session::Logits expected = rows_of(right), found = rows_of(got);
  if (expected.vocab != found.vocab || expected.rows() != found.rows()) {
    fail_usage({.what = "two sets of logits of one experiment differ in shape", .where = name});
  }
  check::Difference d;
  const check::Precision& precision = check::logits_precision(r.subject);
  for (std::int64_t i = 0; i < expected.rows(); ++i) {
    d.add(check::compare_row(expected.row(i), found.row(i), precision), {past, first + i}, r.tolerance());
  }
  for (check::Result& known : r.results) {
    if (known.name != name) continue;
    known.runs++;
    known.difference.add(d);
    r.total.add(d);
    return;
  }
  r.results.push_back({name, sentence, 1, d, {}});
  r.total.add(d);
}

void add_left_out(Report& r, const std::string& name, const std::string& sentence, const std::string& why) {
  r.results.push_back({name, sentence, 0, {}, why});
}

void add_wide(Report& r, nb::object without, nb::object with, nb::object wide_without, nb::object wide_with,
              const std::string& format) {
  const session::Logits a = rows_of(without), b = rows_of(with), c = rows_of(wide_without), d = rows_of(wide_with);
  for (const session::Logits* other : {&b, &c, &d}) {
    if (other->rows() == a.rows() && other->vocab == a.vocab) continue;
    fail_usage({.what = "logits of four runs have not the same shape",
                .where = "add_wide",
                .expected = fmt::format("[{}, {}]", a.rows(), a.vocab),
                .found = fmt::format("[{}, {}]", other->rows(), other->vocab)});
  }
  for (std::int64_t i = 0; i < a.rows(); ++i) check::add_row(r.wide, a.row(i), b.row(i), c.row(i), d.row(i));
  r.wide.format = format;
  check::set_bounds(r.wide, r.subject);
}

// A cause that was found by something else than the checker's search. `certain`: it goes before all others.
void add_cause(Report& r, const std::string& name, const std::string& statement, const std::string& look_at,
               const std::string& evidence, bool certain, std::int64_t rows, std::int64_t same_rows) {
  check::Explanation e;
  e.cause = name, e.statement = statement, e.look_at = look_at, e.evidence = evidence;
  e.confirmed = certain, e.explained = certain ? 1 : 0;
  e.rows = rows, e.same_rows = same_rows;
  if (const check::Cause* known = check::find_cause(name)) e.what = {{known->id, 0}}, e.reference = known->reference;
  std::erase_if(r.causes, [&](const check::Explanation& other) { return other.cause == name; });
  r.causes.insert(certain ? r.causes.begin() : r.causes.end(), e);
}

void judge(Report& r) {
  if (!r.causes.empty() && r.causes.front().confirmed) {
    std::erase_if(r.causes, [](const check::Explanation& e) { return !e.confirmed; });
  }
  const check::Outcome outcome = check::outcome_of(r);
  if (outcome == check::Outcome::differs) {
    std::erase_if(r.causes, [](const check::Explanation& e) { return e.is(check::CauseId::rounding); });
  }
  r.verdict = check::judge(r, r);
}

}  // namespace

void bind_report(nb::module_& m) {
  const auto free = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<Report>(m, "Check", "What a check found. pkv.Report wraps it.")
      .def_prop_ro("outcome", [](const Report& r) { return check::name_of(r.verdict.outcome); })
      .def_prop_ro("holds", [](const Report& r) { return r.verdict.holds(); })
      .def_prop_ro("sentence", [](const Report& r) { return r.verdict.sentence; })
      .def_prop_ro("reasons", [](const Report& r) { return r.verdict.reasons; })
      .def_prop_ro("same_bits", [](const Report& r) { return r.total.same_bits; })
      .def_prop_ro("max_abs", [](const Report& r) { return r.total.max_abs; })
      .def_prop_ro("in_pieces", [](const Report& r) { return r.in_pieces.max_abs; })
      .def_prop_ro("noise", [](const Report& r) { return r.evidence.noise; })
      .def_prop_ro("bound", [](const Report& r) { return r.bound.value; })
      .def_prop_ro("name", [](const Report& r) { return r.subject.name; })
      .def_prop_ro("ids", [](const Report& r) { return r.ids; })
      .def_prop_ro("vocab", [](const Report& r) { return r.vocab; })
      .def_prop_ro("parting",
                   [](const Report& r) -> nb::object {
                     if (!r.parting) return nb::none();
                     nb::dict d;
                     d["past"] = r.parting->past, d["position"] = r.parting->position, d["layer"] = r.parting->layer;
                     d["sentence"] = r.parting->sentence;
                     return d;
                   })
      .def_prop_ro("wide",
                   [](const Report& r) -> nb::object {
                     if (!r.wide.known()) return nb::none();
                     nb::dict d;
                     d["format"] = r.wide.format, d["apart"] = r.wide.apart, d["bound"] = r.wide.bound;
                     d["with"] = r.wide.with, d["without"] = r.wide.without, d["agree"] = r.wide.agree();
                     return d;
                   })
      .def_prop_ro("first_break", [](const Report& r) { return place(r.total.first); })
      .def("table", &table)
      .def("experiments", &experiments)
      .def("causes", &causes)
      .def("evidence", &evidence)
      .def(
          "json", [](const Report& r) { return check::report_json(r); }, free)
      .def(
          "html", [](const Report& r) { return show::as_html(check::document(r)); }, free)
      .def(
          "markdown", [](const Report& r) { return show::as_markdown(check::document(r)); }, free)
      .def(
          "csv", [](const Report& r) { return show::as_csv(check::document(r)); }, free)
      .def(
          "junit", [](const Report& r) { return check::report_junit(r); }, free)
      .def(
          "text",
          [](const Report& r, bool colour, int columns, const std::string& rest) {
            return show::as_text(check::document(r), {.colour = colour, .columns = columns, .rest = rest});
          },
          nb::arg("colour") = false, nb::arg("columns") = 80, nb::arg("rest") = "", free)
      .def("add_experiment", &add_experiment, nb::arg("name"), nb::arg("sentence"), nb::arg("right"), nb::arg("got"),
           nb::arg("past"), nb::arg("first"))
      .def("add_left_out", &add_left_out, nb::arg("name"), nb::arg("sentence"), nb::arg("why"))
      .def("add_wide", &add_wide, nb::arg("without"), nb::arg("with_past"), nb::arg("wide_without"),
           nb::arg("wide_with"), nb::arg("format"))
      .def("add_cause", &add_cause, nb::arg("name"), nb::arg("statement"), nb::arg("look_at"), nb::arg("evidence"),
           nb::arg("certain"), nb::arg("rows") = 0, nb::arg("same_rows") = 0)
      .def(
          "add_note", [](Report& r, const std::string& note) { r.notes.push_back(note); }, nb::arg("note"))
      .def(
          "adopt_causes", [](Report& r, const Report& from) { r.causes = from.causes; }, nb::arg("other"))
      .def("clear_causes", [](Report& r) { r.causes.clear(); })
      .def("judge", &judge);

  m.def("check", &run, nb::arg("subject"), nb::arg("ids"), nb::arg("splits") = nb::none(), nb::arg("text") = "",
        nb::arg("rounding") = 0.0);
  m.def("check_recorded", &recorded, nb::arg("without"), nb::arg("with_past"));
  m.def("causes", [] {
    nb::list all;
    for (const check::Cause& c : check::all_causes()) {
      all.append(nb::make_tuple(std::string(c.name), std::string(c.statement), std::string(c.look_at)));
    }
    return all;
  });
  m.def(
      "review_html",
      [](const std::vector<std::shared_ptr<Report>>& reports) {
        std::vector<Report> all;
        for (const auto& r : reports) all.push_back(*r);
        return show::as_html(check::review(all));
      },
      nb::arg("reports"));
}

}  // namespace pkv::python
