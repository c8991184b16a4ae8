// The pictures of a report as Vega specifications, for show/page.h. Each is given with the words that belong to it;
// where there is nothing to draw, words alone.
#pragma once

#include "checker/check/report.h"
#include "show/page.h"

namespace pkv::check {

page::Html heat_map(const Report& report);           // split × position
page::Html layers_chart(const Report& report);       // how the states part from layer to layer
page::Html logits_chart(const Report& report);       // histograms of the last position's logits
page::Html differences_chart(const Report& report);  // and of their |Δ|

}  // namespace pkv::check
