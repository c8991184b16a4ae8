// How far work is, in one line of a terminal that is written over.
#pragma once

#include <string>
#include <string_view>

#include "base/progress.h"

namespace pkv::program {

// A progress bar on stderr, when that is a terminal; otherwise an empty callback. Cleared when done.
Progress progress_bar(std::string label);
void show_progress(std::string_view line);  // in the place of the line shown before
void clear_progress();                      // before anything else is written to the terminal
std::string duration_text(double seconds);  // "8 s", "2 min 5 s", "1 h 12 min"

}  // namespace pkv::program
