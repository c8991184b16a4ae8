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

// The instruction set whose digits are approved: every x86 processor of the last fifteen years has it.
constexpr const char* kApprovedSet = "SSE4";

// `now` with the digits of `approved` where another instruction set sums in another order: in the tables of logits'
// mean, std, min, 25%, 50%, 75% and max, where the numbers are as near as any two sets are (transcript.cc has the
// bound). Everything else stays as it is, and must be equal to the letter under every set.
std::string settled(const std::string& approved, const std::string& now);

}  // namespace pkv::support
