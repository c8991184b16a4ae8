// Ctrl-C where work should end in an orderly way.
#pragma once

#include <csignal>
#include <string_view>

namespace pkv::program {

struct StopAsked {};

// While it lives, a first Ctrl-C (or SIGTERM) is only remembered, and `look` throws StopAsked; a second one ends the
// program at once.
class OrderlyStop {
 public:
  OrderlyStop();
  ~OrderlyStop();
  OrderlyStop(const OrderlyStop&) = delete;
  OrderlyStop& operator=(const OrderlyStop&) = delete;

  void look() const;

 private:
  struct sigaction old_interrupt_ {
  }, old_terminate_{};
};

// What is left to do after StopAsked: says `farewell`, and ends as the signal would have ended the program.
void end_stopped(std::string_view farewell);

}  // namespace pkv::program
