// What other programs call what pkv has under another name: who knows transformers, llama.cpp, vLLM or ollama types it
// first. Only for hints in errors; pkv understands its own words alone.
#pragma once

#include <string>
#include <string_view>

#include "options/option.h"

namespace pkv::program {

// "here that is pkv generate" for the command "run"; empty for a word that nobody has.
std::string command_elsewhere(std::string_view word);

// "here that is --new-tokens" for the option "-n", where the command has that one; else empty.
std::string option_elsewhere(std::string_view word, const Command& command);

}  // namespace pkv::program
