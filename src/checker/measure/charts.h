// The report's charts, as Vega specifications in a page. For the renderers of this room.
#pragma once

#include "checker/measure/result.h"
#include "show/page.h"

namespace pkv::measure {

page::Html token_chart(const Generation& g);              // time of a token by its place in the text
page::Html total_chart(const Generation& g);              // time of all tokens so far
page::Html reuse_chart(const std::vector<Reuse>& reuse);  // bars: the first token after each prefix

}  // namespace pkv::measure
