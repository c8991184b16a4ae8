#include "terminal/stop.h"

#include <utility>

#include "terminal/say.h"

namespace pkv::program {
namespace {

volatile std::sig_atomic_t signal_caught = 0;
std::atomic<bool> stop_asked = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void remember(int signal, struct sigaction& old) {
  struct sigaction act {};
  act.sa_handler = [](int caught) {
    signal_caught = caught;
    stop_asked = true;
  };
  act.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(signal, nullptr, &old);
  if (old.sa_handler != SIG_IGN) sigaction(signal, &act, nullptr);
}

}  // namespace

OrderlyStop::OrderlyStop() {
  remember(SIGINT, old_interrupt_);
  remember(SIGTERM, old_terminate_);
}

OrderlyStop::~OrderlyStop() {
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
}

void OrderlyStop::look() const {
  if (stop_asked) throw StopAsked{};
}

Progress OrderlyStop::looking(Progress bar) const {
  return [this, bar = std::move(bar)](std::int64_t done, std::int64_t total) {
    if (bar) bar(done, total);
    look();
  };
}

const std::atomic<bool>& OrderlyStop::asked() const { return stop_asked; }

int OrderlyStop::exit_code() const { return 128 + signal_caught; }

void end_stopped(std::string_view farewell) {
  note(farewell);
  std::signal(signal_caught, SIG_DFL);
  std::raise(signal_caught);
}

}  // namespace pkv::program
