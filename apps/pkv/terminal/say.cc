#include "terminal/say.h"

#include <fmt/format.h>

#include <cstdio>

#include "terminal/progress.h"

namespace pkv::program {

void say(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void note(std::string_view text) {
  clear_progress();
  say(fmt::format("note: {}\n", text));
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
