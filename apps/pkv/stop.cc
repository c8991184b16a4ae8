#include "stop.h"

#include "program.h"

namespace pkv::program {
namespace {

volatile std::sig_atomic_t asked = 0;

}  // namespace

OrderlyStop::OrderlyStop() {
  struct sigaction act {};
  act.sa_handler = [](int signal) { asked = signal; };
  act.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &act, &old_interrupt_);
  sigaction(SIGTERM, &act, &old_terminate_);
}

OrderlyStop::~OrderlyStop() {
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
}

void OrderlyStop::look() const {
  if (asked != 0) throw StopAsked{};
}

void end_stopped(std::string_view farewell) {
  note(farewell);
  std::signal(asked, SIG_DFL);
  std::raise(asked);
}

}  // namespace pkv::program
