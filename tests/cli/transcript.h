// A transcript: commands with what they print and the status they exit with, approved by a person.
//
//   Any words about the case.
//
//   $ pkv inspect models/none
//   | a line of stdout
//   ! a line of stderr
//   ? 3
//
// Replaying runs every command, in order and in one folder, and writes the transcript anew; the two texts must be
// equal.
#pragma once

#include <string>

#include "support/shell.h"

namespace pkv::support {

// The transcript with what its commands print now. Words and commands are kept as they are.
std::string replay(const std::string& transcript, const Shell& shell);

// What differs from machine to machine and says nothing about pkv is given a name: the number of threads, the
// instruction set, folders, how many times faster something is, the environment in JSON. Anything else that varies is a
// fault.
std::string normalised(std::string text, const Shell& shell);

}  // namespace pkv::support
