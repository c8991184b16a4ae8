#include "terminal/say.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "show/columns.h"
#include "terminal/progress.h"
#include "terminal/width.h"

namespace pkv::program {

void say(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void note(std::string_view text) {
  clear_progress();
  say(for_terminal_of_stderr(fmt::format("note: {}\n", text)));
}

std::string for_terminal_of_stderr(std::string_view lines) { return for_terminal_of(STDERR_FILENO, lines); }

std::string for_terminal_of(int descriptor, std::string_view lines) {
  constexpr std::size_t kToPaste = 12, kLabel = 12;  // "  expected: "
  if (isatty(descriptor) == 0) return std::string(lines);
  const int columns = static_cast<int>(terminal_width(descriptor));
  std::string all;
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string_view line = lines.substr(at, end - at);
    at = end + 1;
    const std::size_t first = std::min(line.find_first_not_of(' '), line.size());
    const std::size_t start = first == 2 && line.size() > kLabel ? kLabel : first;
    const bool as_it_is = first >= kToPaste || line.empty();
    all += as_it_is ? std::string(line) + "\n" : show::wrapped(line.substr(0, start), line.substr(start), columns);
  }
  return all;
}

std::string in_one_line(const Error& error) {
  const Error::Text& t = error.text();
  std::string text = t.where.empty() ? t.what : t.where + ": " + t.what;
  if (!t.expected.empty()) text += fmt::format("; expected {}", t.expected);
  if (!t.found.empty()) text += fmt::format("; found {}", t.found);
  return text;
}

std::string megabytes(std::uint64_t bytes) {
  return bytes < 10'000'000'000 ? fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6)
                                : fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

}  // namespace pkv::program
