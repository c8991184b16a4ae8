#include "show/environment.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <optional>

#include "base/json_writer.h"
#include "base/pool.h"

namespace pkv::show {
namespace {

// The value of the first line `key<separator>value` of a small text file of the system.
std::string value_of(const char* file, std::string_view key, char separator) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find(separator);
    if (at == std::string::npos || !line.starts_with(key)) continue;
    const std::size_t from = line.find_first_not_of(" \t\"", at + 1), to = line.find_last_not_of(" \t\"");
    return from == std::string::npos ? "" : line.substr(from, to - from + 1);
  }
  return {};
}

std::string processor() {
  const int cores = physical_cores();
  const std::string name = value_of("/proc/cpuinfo", "model name", ':');
  return fmt::format("{}{} core{}", name.empty() ? "" : name + ", ", cores, cores == 1 ? "" : "s");
}

std::string operating_system() {
  std::string name = value_of("/etc/os-release", "PRETTY_NAME", '=');
  utsname kernel{};
  if (uname(&kernel) != 0) return name;
  if (!name.empty()) name += ", ";
  return name + fmt::format("{} {} {}", kernel.sysname, kernel.release, kernel.machine);
}

std::string compiler() {
#if defined(__clang__)
  std::string name = fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  std::string name = fmt::format("gcc {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  name += ", under a sanitizer";
#elif !defined(__OPTIMIZE__)
  name += ", not optimised";
#endif
  return name;
}

std::string now() {
  std::time_t time = std::time(nullptr);
  if (const char* fixed = std::getenv("SOURCE_DATE_EPOCH"); fixed != nullptr) {
    std::int64_t seconds = 0;
    const char* const end = fixed + std::strlen(fixed);
    const auto [rest, error] = std::from_chars(fixed, end, seconds);
    constexpr std::int64_t year_10000 = 253402300800;
    if (error == std::errc() && rest == end && seconds >= 0 && seconds < year_10000) time = seconds;
  }
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(time));
}

}  // namespace

Environment environment(std::string_view program) {
  return {.program = std::string(program),
          .processor = processor(),
          .system = operating_system(),
          .compiler = compiler(),
          .time = now()};
}

void write_json(JsonWriter& w, const Environment& e) {
  w.object([&] {
    w.member("program", e.program);
    w.member("processor", e.processor);
    w.member("system", e.system);
    w.member("compiler", e.compiler);
    w.member("time", e.time.empty() ? std::optional<std::string>() : e.time);
  });
}

std::vector<std::string> started_with() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  if (!words.empty()) words[0] = words[0].substr(words[0].rfind('/') + 1);
  return words;
}

std::string shell_command(std::span<const std::string> words) {
  constexpr std::string_view unquoted = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,:=+@%";
  std::string all;
  for (const std::string& word : words) {
    if (!all.empty()) all += ' ';
    if (!word.empty() && word.find_first_not_of(unquoted) == std::string::npos) {
      all += word;
      continue;
    }
    all += '\'';
    for (const char c : word) all += c == '\'' ? "'\\''" : std::string(1, c);
    all += '\'';
  }
  return all;
}

}  // namespace pkv::show
