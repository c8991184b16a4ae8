// The pictures of a report as Vega specifications, for show/html/pieces.h. Each is given with the words that belong to it;
// where there is nothing to draw, words alone.
#pragma once

#include "checker/check/report.h"
#include "show/html/pieces.h"

namespace pkv::check {

show::html::Html heat_map(const Report& report);           // split × position
show::html::Html layers_chart(const Report& report);       // how the states part from layer to layer
show::html::Html logits_chart(const Report& report);       // histograms of the last position's logits
show::html::Html differences_chart(const Report& report);  // and of their |Δ|

}  // namespace pkv::check
