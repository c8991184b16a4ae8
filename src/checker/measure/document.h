// How a measurement is told: as a Document, which show/ renders in any form, as JSON, which holds every sample, and as
// a picture of its own. Pure functions of the result.
#pragma once

#include <string>
#include <string_view>

#include "checker/measure/result.h"
#include "show/document.h"

namespace pkv::measure {

// `environment`, `command`: where it was measured and what repeats it, for forms that say so.
show::Document document(const Result& result, const show::Environment& environment = {}, std::string command = {});
std::string report_json(const Result& result);  // "schema": "pkv-bench/1"
std::string report_svg(const Result& result);   // curves of the longest generation; empty below two tokens

// The finding in a sentence or two: "12.3 ± 0.4 times faster ..."
std::string headline(const Result& result);

}  // namespace pkv::measure
