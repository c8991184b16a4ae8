// What the program says on stderr: notes and errors. Results go to stdout (options/output.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pkv::program {

// As it is, at once. Where it cannot be written, nobody is there to be told: that is no error.
void say(std::string_view text);
void note(std::string_view text);  // one line
// Lines broken between words where they are longer than the terminal that stderr is, and indented to stand under what
// they go on with; as they are elsewhere. Lines that are indented far are commands to paste, and stay whole.
std::string for_terminal_of_stderr(std::string_view lines);
std::string for_terminal_of(int descriptor, std::string_view lines);
std::string in_one_line(const Error& error);  // what went wrong, and what was expected and found

std::string megabytes(std::uint64_t bytes);  // "2.7 MB", "14.5 GB"

}  // namespace pkv::program
