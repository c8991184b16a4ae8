#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "program.h"

namespace pkv::program {
namespace {

constexpr std::size_t kFirstColumn = 34;

std::size_t terminal_width() {
  struct winsize size {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return std::clamp<std::size_t>(size.ws_col, 60, 120);
}

std::string wrapped(const std::string& text, std::size_t width) {
  std::istringstream words(text);
  std::string lines, word;
  std::size_t filled = 0;
  while (words >> word) {
    if (filled != 0 && filled + 1 + word.size() > width) {
      lines += '\n';
      filled = 0;
    }
    if (filled != 0) lines += ' ';
    lines += word;
    filled += word.size() + (filled != 0 ? 1 : 0);
  }
  return lines;
}

class Wrapped : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override {
    return wrapped(option->get_description(), width_ - kFirstColumn);
  }

 private:
  std::size_t width_ = terminal_width();
};

}  // namespace

std::shared_ptr<CLI::Formatter> help_formatter() {
  auto formatter = std::make_shared<Wrapped>();
  formatter->column_width(kFirstColumn);
  return formatter;
}

}  // namespace pkv::program
