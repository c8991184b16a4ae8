#include "terminal/width.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cstdlib>

namespace pkv::program {

std::size_t terminal_width(int descriptor) {
  struct winsize size {};
  std::size_t columns = 0;
  if (const char* set = std::getenv("COLUMNS"); set != nullptr) columns = std::strtoul(set, nullptr, 10);
  if (columns == 0 && ioctl(descriptor, TIOCGWINSZ, &size) == 0) columns = size.ws_col;
  return columns == 0 ? 80 : std::clamp<std::size_t>(columns, 40, 120);
}

std::string in_lines(const std::string& text, std::size_t width) {
  constexpr const char* kSpaces = " \n\t\v\f\r";
  std::string lines;
  std::size_t filled = 0;
  for (std::size_t at = text.find_first_not_of(kSpaces); at != text.npos;) {
    const std::size_t end = std::min(text.find_first_of(kSpaces, at), text.size());
    if (filled != 0 && filled + 1 + (end - at) > width) {
      lines += '\n';
      filled = 0;
    }
    if (filled != 0) lines += ' ';
    lines.append(text, at, end - at);
    filled += end - at + (filled != 0 ? 1 : 0);
    at = text.find_first_not_of(kSpaces, end);
  }
  return lines;
}

}  // namespace pkv::program
