#include "terminal/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/clock.h"
#include "show/columns.h"
#include "terminal/say.h"
#include "terminal/width.h"

namespace pkv::program {
namespace {

bool line_shown = false;

struct Bar {
  std::string label;
  double start = seconds(), drawn = 0;

  void operator()(std::int64_t done, std::int64_t total) {
    const double now = seconds();
    if (done >= total) return clear_progress();
    if (now - start < 0.3 || now - drawn < 0.08) return;
    draw(static_cast<double>(done) / static_cast<double>(total), now - start);
    drawn = now;
  }

  void draw(double share, double passed) const {
    const int width = terminal_width(STDERR_FILENO) < 70 ? 10 : 30;
    const auto full = static_cast<std::size_t>(share * width);
    const std::string left = share > 0 ? fmt::format("  {} left", duration_text(passed * (1 - share) / share)) : "";
    show_progress(fmt::format("{} [{}{}] {:3.0f}%{}", label, std::string(full, '#'), std::string(width - full, '.'),
                              100 * share, left));
  }
};

}  // namespace

Progress progress_bar(std::string label) {
  if (isatty(STDERR_FILENO) == 0) return {};
  return Bar{.label = std::move(label)};
}

void show_progress(std::string_view line) {
  const int room = static_cast<int>(terminal_width(STDERR_FILENO)) - 1;  // a full line would begin another
  say(fmt::format("\r\033[K{}", show::shortened(line, room)));
  line_shown = true;
}

void clear_progress() {
  if (!line_shown) return;
  say("\r\033[K");
  line_shown = false;
}

std::string duration_text(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

}  // namespace pkv::program
