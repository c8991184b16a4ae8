// --past-file, and what to do when the file there does not fit.
#pragma once

#include <string>

#include "options/option.h"

namespace pkv::program {

struct SavedPastOptions {
  std::string file;  // empty: none
  bool ignore_unfit = false, trust_blocks = false, hash_weights = false;

  // `excludes`: options declared before that have no meaning with --past-file.
  void declare(Command& command, std::array<std::string_view, 2> excludes);
};

}  // namespace pkv::program
