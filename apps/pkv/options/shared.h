// Single options that several commands take.
#pragma once

#include "options/option.h"

namespace pkv::program {

inline Option model_word(std::string& target, std::string_view help = "a folder, a GGUF file, a bundled model, or a Hub model") {
  return {.name = "MODEL", .target = &target, .help = help, .required = true};
}

inline Option beyond_context(bool& target) {
  return {.name = "--beyond-context",
          .target = &target,
          .help = "allow a text longer than an ALiBi or rotary model was trained for"};
}

}  // namespace pkv::program
