// Where tests find what they need: the source folder, and the program that was built with them. Paths are compiled into
// one small file, so that a compiler cache serves the others in any clone.
#pragma once

#include <filesystem>

namespace pkv::support {

const std::filesystem::path& source();   // the root of the source tree
const std::filesystem::path& program();  // build/PRESET/pkv

}  // namespace pkv::support
