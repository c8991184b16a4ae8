// How wide a terminal is, and text broken into lines that fit.
#pragma once

#include <cstddef>
#include <string>

namespace pkv::program {

std::size_t terminal_width();  // of stdout, from 60 to 120 columns; 80 where there is none
std::string in_lines(const std::string& text, std::size_t width);

}  // namespace pkv::program
