// Measurements from Python.
#include "checker/measure/measure.h"

#include "bind.h"
#include "show/document.h"

namespace pkv::python {
namespace {

std::shared_ptr<measure::Result> bench(nb::object subject, const Ids& text, std::int64_t new_tokens,
                                       const std::vector<std::int64_t>& prompt_tokens,
                                       const std::vector<std::int64_t>& prefix_tokens, std::int64_t repetitions,
                                       std::int64_t warmup, double seconds) {
  const std::shared_ptr<session::Subject> fed = subject_of(std::move(subject));
  measure::Options options;
  options.new_tokens = new_tokens, options.prompt_tokens = prompt_tokens, options.prefix_tokens = prefix_tokens;
  options.repetitions = repetitions, options.warmup = warmup, options.seconds = seconds;
  options.progress = stoppable();
  nb::gil_scoped_release free;
  return std::make_shared<measure::Result>(measure::run(*fed, {}, text, options));
}

nb::dict ratio(const measure::Ratio& r) {
  nb::dict d;
  d["times"] = r.times;
  d["error"] = r.error ? nb::object(nb::float_(*r.error)) : nb::none();
  return d;
}

nb::list generation(const measure::Result& result) {
  nb::list all;
  for (const measure::Generation& g : result.generation) {
    nb::dict row;
    row["prompt"] = g.prompt, row["new tokens"] = g.new_tokens;
    row["with past"] = g.with_total, row["without past"] = g.without_total;
    row["faster"] = ratio(g.faster());
    all.append(row);
  }
  return all;
}

nb::list reuse(const measure::Result& result) {
  nb::list all;
  for (const measure::Reuse& r : result.reuse) {
    nb::dict row;
    row["prefix"] = r.prefix;
    row["recomputed"] = r.seconds[measure::Reuse::recomputed];
    row["in memory"] = r.seconds[measure::Reuse::memory];
    row["faster"] = ratio(r.faster(measure::Reuse::memory));
    all.append(row);
  }
  return all;
}

}  // namespace

void bind_measure(nb::module_& m) {
  using measure::Result;
  nb::class_<Result>(m, "Bench", "What a past gains, in seconds. pkv.BenchReport wraps it.")
      .def_prop_ro("holds", &Result::holds)
      .def_prop_ro("disagreements",
                   [](const Result& r) {
                     std::vector<std::string> all;
                     for (const auto& d : r.disagreements) all.push_back(d.variant);
                     return all;
                   })
      .def_prop_ro("headline", [](const Result& r) { return measure::headline(r); })
      .def_prop_ro("generation", &generation)
      .def_prop_ro("reuse", &reuse)
      .def_prop_ro("notes", [](const Result& r) { return r.notes; })
      .def("json", [](const Result& r) { return measure::report_json(r); })
      .def("svg", [](const Result& r) { return measure::report_svg(r); })
      .def("html", [](const Result& r) { return show::as_html(measure::document(r, here())); })
      .def("markdown", [](const Result& r) { return show::as_markdown(measure::document(r)); })
      .def(
          "text",
          [](const Result& r, bool colour, int columns) {
            return show::as_text(measure::document(r), {.colour = colour, .columns = columns});
          },
          nb::arg("colour") = false, nb::arg("columns") = 80);
  m.def("bench", &bench, nb::arg("subject"), nb::arg("text"), nb::arg("new_tokens") = 32,
        nb::arg("prompt_tokens") = std::vector<std::int64_t>{16},
        nb::arg("prefix_tokens") = std::vector<std::int64_t>{}, nb::arg("repetitions") = 5, nb::arg("warmup") = 1,
        nb::arg("seconds") = 20.0);
}

}  // namespace pkv::python
