// How results are shown. Pure functions of the result; the JSON holds all of it. Nobody prints here, and colour is the
// caller's choice.
#pragma once

#include <string>
#include <string_view>

#include "checker/measure/result.h"
#include "show/environment.h"

namespace pkv::measure {

std::string report_text(const Result& result, bool colour = false);  // for a terminal of 80 columns
std::string report_markdown(const Result& result);
std::string report_csv(const Result& result);   // a line per variant, with a heading
std::string report_json(const Result& result);  // "schema": "pkv-bench/1"
// A page with curves and bars. `command` repeats the run.
std::string report_html(const Result& result, const show::Environment& environment, std::string_view command);
std::string report_svg(const Result& result);  // curves of the longest generation; empty below two tokens

// The finding in a sentence or two: "12.3 ± 0.4 times faster ..."
std::string headline(const Result& result);

}  // namespace pkv::measure
