// What is made of the commands' data (options/option.h) for those who are not at the command line yet: what shells
// complete, and the man page. Nothing is read or run for it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "options/option.h"

namespace pkv::program {

// Scripts for those shells. `models`: names to offer where a MODEL is wanted, besides files.
std::string bash_completion(const Command& program, std::span<const std::string> models);
std::string zsh_completion(const Command& program, std::span<const std::string> models);
std::string fish_completion(const Command& program, std::span<const std::string> models);

// pkv(1), for man; `version`: "pkv 0.1.0".
std::string man_page(const Command& program, std::string_view version);

}  // namespace pkv::program
