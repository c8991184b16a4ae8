// The time that work is measured with. What measures takes a clock, so that tests can give it one of their own.
#pragma once

#include <chrono>
#include <functional>

namespace pkv {

using Clock = std::function<double()>;

// Wall clock, in seconds from some fixed moment on.
inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace pkv
