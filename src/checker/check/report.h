// Everything that a check found, as data, and how it is shown. The renderers are pure functions of the report; the JSON
// holds all of it. Nobody prints here, and colour is the caller's choice.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checker/causes/explanation.h"
#include "checker/check/verdict.h"
#include "checker/run/inside.h"
#include "checker/run/runs.h"
#include "show/environment.h"

namespace pkv::check {

// How many times faster the system generates with its past, where somebody measured it.
struct Gain {
  double times = 0;
  std::optional<double> error;
  std::int64_t new_tokens = 0;
};

// "12.3 ×", at most 6 columns below 10,000; empty where there is none.
std::string gain_cell(const std::optional<Gain>& gain);

// What the stages of a check returned, and what whoever checks may add.
struct Report : Runs, Inside, Causes {
  Verdict verdict;
  std::optional<Gain> gain = {};
  show::Environment environment = {};
  std::string command = {};  // that repeats it
};

// A model of a review that could not be checked, and why.
struct NotChecked {
  std::string model, message;
};

// For a terminal of 80 columns, about 40 lines; the verdict stands at the end, where a terminal that is shorter shows
// it. `colour`: ANSI colours for marks and the verdict.
std::string report_text(const Report& report, bool colour = false);
std::string report_markdown(const Report& report);
std::string report_csv(const Report& report);    // a line per experiment, with a heading
std::string report_json(const Report& report);   // docs/schema/pkv-check-2.json; infinities and NaN are null
std::string report_html(const Report& report);   // one file, see show/html/pieces.h
std::string report_junit(const Report& report);  // XML for CI systems: a test per experiment and proof

// Many models, a line each, or all of each and a line in front. Those that could not be checked come last; in JUnit
// they are errors.
std::string summary_text(std::span<const Report> reports, std::span<const NotChecked> others = {}, bool colour = false);
std::string summary_markdown(std::span<const Report> reports, std::span<const NotChecked> others = {});
std::string summary_csv(std::span<const Report> reports, std::span<const NotChecked> others = {});
std::string summary_json(std::span<const Report> reports,
                         std::span<const NotChecked> others = {});  // docs/schema/pkv-review-2.json
std::string summary_html(std::span<const Report> reports, std::span<const NotChecked> others = {});
std::string summary_junit(std::span<const Report> reports, std::span<const NotChecked> others = {});

}  // namespace pkv::check
