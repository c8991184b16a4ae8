// Ctrl-C where work should end in an orderly way.
#pragma once

#include <atomic>
#include <csignal>
#include <string_view>

#include "base/progress.h"

namespace pkv::program {

struct StopAsked {};

// While it lives, a first Ctrl-C (or SIGTERM) is only remembered, and `look` throws StopAsked; a second one ends the
// program at once. A shell's background job, which ignores Ctrl-C, goes on ignoring it.
class OrderlyStop {
 public:
  OrderlyStop();
  ~OrderlyStop();
  OrderlyStop(const OrderlyStop&) = delete;
  OrderlyStop& operator=(const OrderlyStop&) = delete;

  void look() const;
  Progress looking(Progress bar) const;  // shows the bar, where there is one, and looks; not to outlive this
  const std::atomic<bool>& asked() const;
  int exit_code() const;  // after a stop was asked for, as shells have it: 128 + the signal

 private:
  struct sigaction old_interrupt_ {
  }, old_terminate_{};
};

// What is left to do after StopAsked: says `farewell`, and ends as the signal would have ended the program.
void end_stopped(std::string_view farewell);

}  // namespace pkv::program
