// The report's charts. For the documents of this room.
#pragma once

#include <vector>

#include "checker/measure/result.h"
#include "show/document.h"

namespace pkv::measure {

show::Chart token_chart(const Generation& g);              // time of a token by its place in the text
show::Chart total_chart(const Generation& g);              // time of all tokens so far
show::Chart reuse_chart(const std::vector<Reuse>& reuse);  // bars: the first token after each prefix

}  // namespace pkv::measure
