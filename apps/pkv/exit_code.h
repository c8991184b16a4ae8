// What the program says with its exit code.
#pragma once

#include "base/error.h"

namespace pkv::program {

enum ExitCode {
  holds = 0,
  does_not_hold = 1,
  bad_usage = 2,
  cannot_load = 3,
  internal_error = 4,
};

constexpr ExitCode code_of(Error::Kind kind) {
  switch (kind) {
    case Error::Kind::usage:
      return bad_usage;
    case Error::Kind::load:
      return cannot_load;
    case Error::Kind::internal:
      break;
  }
  return internal_error;
}

}  // namespace pkv::program
