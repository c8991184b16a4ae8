// The one exception of the library. It says what went wrong, where (file, tensor, key, offset), what was expected and
// found, and what to try. Thrown at boundaries (files, configs, arguments); kernels are noexcept. Only the program
// prints it, and turns its kind into an exit code.
#pragma once

#include <stdexcept>
#include <string>

namespace pkv {

class Error : public std::runtime_error {
 public:
  enum class Kind {
    usage,     // the request makes no sense; exit code 2
    load,      // a file or model cannot be used; exit code 3
    internal,  // pkv itself is at fault; exit code 4
  };

  struct Text {
    std::string what;           // "tensor has the wrong shape"
    std::string where = {};     // "model.safetensors: tensor 'wte.weight'"
    std::string expected = {};  // "[1000, 96]"
    std::string found = {};     // "[96, 1000]"
    std::string hint = {};      // what to try
  };

  Error(Kind kind, Text text);

  Kind kind() const { return kind_; }
  const Text& text() const { return text_; }

 private:
  Kind kind_;
  Text text_;
};

[[noreturn]] void fail_usage(Error::Text text);
[[noreturn]] void fail_load(Error::Text text);
[[noreturn]] void fail_internal(Error::Text text);

}  // namespace pkv
