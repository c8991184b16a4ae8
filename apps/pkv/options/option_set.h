// Reads a command line by what commands say of themselves (option.h). Its source is the only one that includes CLI11.
#pragma once

#include <string>

#include "options/option.h"

namespace pkv::program {

// Sets the targets of the command that the words choose, runs it, and gives its exit code; 0 when the words ask for
// help or for the version, which are printed. A mistake is said on stderr and gives `bad_usage`, or is an Error::usage.
int run_chosen(const Command& program, const std::string& version, int argc, char** argv);

}  // namespace pkv::program
