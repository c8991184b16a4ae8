#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "program.h"

namespace pkv::program {
namespace {

using Clock = std::chrono::steady_clock;

struct Bar {
  std::string label;
  Clock::time_point start = Clock::now(), drawn = {};
  bool visible = false;

  void operator()(std::int64_t done, std::int64_t total) {
    const auto now = Clock::now();
    if (done >= total) {
      if (visible) fmt::print(stderr, "\r\033[K");
      visible = false;
    } else if (now - start > std::chrono::milliseconds(300) && now - drawn > std::chrono::milliseconds(80)) {
      draw(static_cast<double>(done) / static_cast<double>(total), std::chrono::duration<double>(now - start).count());
      drawn = now;
    }
    std::fflush(stderr);
  }

  void draw(double share, double seconds) {
    constexpr int kWidth = 30;
    const int full = static_cast<int>(share * kWidth);
    const double left = share > 0 ? seconds * (1 - share) / share : 0;
    fmt::print(stderr, "\r\033[K{} [{}{}] {:3.0f}%  {:.0f} s left", label,
               std::string(static_cast<std::size_t>(full), '#'),
               std::string(static_cast<std::size_t>(kWidth - full), '.'), 100 * share, left);
    visible = true;
  }
};

}  // namespace

Progress progress_bar(std::string label) {
  if (isatty(STDERR_FILENO) == 0) return {};
  return Bar{.label = std::move(label)};
}

}  // namespace pkv::program
