// Which pkv this is.
#pragma once

#include <string>
#include <string_view>

namespace pkv::program {

std::string_view commit();  // of the sources, "1a2b3c4d5e6f"; empty where nobody knows

// The program's name, version and commit, in a line: "pkv 0.1.0 (1a2b3c4d5e6f)".
std::string version_line();

}  // namespace pkv::program
