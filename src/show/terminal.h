// How a terminal is told.
#pragma once

#include <string>

namespace pkv::show {

struct Terminal {
  bool colour = false;  // ANSI colours
  int columns = 80;     // no line is longer, but for words that are
  // Where the rest is: a line at the end, which makes the text short. Of a document with a gist that alone is told; of
  // one with parts, the conclusion of each, and the overview.
  std::string rest = {};
};

}  // namespace pkv::show
