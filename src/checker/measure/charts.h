// The report's charts, as Vega specifications in a page. For the renderers of this room.
#pragma once

#include "checker/measure/result.h"
#include "show/html/pieces.h"

namespace pkv::measure {

show::html::Html token_chart(const Generation& g);              // time of a token by its place in the text
show::html::Html total_chart(const Generation& g);              // time of all tokens so far
show::html::Html reuse_chart(const std::vector<Reuse>& reuse);  // bars: the first token after each prefix

}  // namespace pkv::measure
