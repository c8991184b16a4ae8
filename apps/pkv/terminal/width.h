// How wide a terminal is, and text broken into lines that fit.
#pragma once

#include <cstddef>
#include <string>

namespace pkv::program {

// From 40 to 120 columns: of $COLUMNS, or else of stdout, or what `descriptor` is; 80 where it is no terminal.
std::size_t terminal_width(int descriptor = 1);
std::string in_lines(const std::string& text, std::size_t width);

}  // namespace pkv::program
