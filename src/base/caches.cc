#include "base/caches.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string>

namespace pkv {
namespace {

namespace fs = std::filesystem;

std::string line_of(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

// "98304K", "max", "": none of the last two.
std::optional<std::uint64_t> bytes_in(const fs::path& file) {
  std::istringstream text(line_of(file));
  std::uint64_t number = 0;
  if (!(text >> number)) return std::nullopt;
  const int unit = text.get();
  return number << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0);
}

// Of every instance of every cache but those of instructions: the same one is listed by all processors that share it.
std::uint64_t data_caches(const fs::path& root) {
  std::uint64_t all = 0;
  std::set<std::string> seen;
  std::error_code none;
  for (const auto& cpu : fs::directory_iterator(root / "sys/devices/system/cpu", none)) {
    for (const auto& index : fs::directory_iterator(cpu.path() / "cache", none)) {
      const fs::path& cache = index.path();
      const std::string type = line_of(cache / "type");
      if (type != "Data" && type != "Unified") continue;
      const std::string instance = line_of(cache / "level") + type + line_of(cache / "shared_cpu_list");
      if (seen.insert(instance).second) all += bytes_in(cache / "size").value_or(0);
    }
  }
  return all;
}

std::optional<std::uint64_t> memory_available(const fs::path& root) {
  std::ifstream lines(root / "proc/meminfo");
  std::uint64_t kilobytes = 0;
  for (std::string name; lines >> name; lines.ignore(1 << 10, '\n')) {
    if (name == "MemAvailable:" && lines >> kilobytes) return kilobytes << 10;
  }
  return std::nullopt;
}

// The least limit of this process's control groups, from its own up to the first: "0::/a/b" in version 2,
// "4:memory:/a/b" in version 1. Folders that a container does not show are passed over.
std::optional<std::uint64_t> memory_limit(const fs::path& root) {
  std::optional<std::uint64_t> least;
  std::ifstream lines(root / "proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t name = line.find(':') + 1, path = line.find(':', name) + 1;
    const bool second = line.starts_with("0::"), first = line.substr(name, path - name) == "memory:";
    if (!second && !first) continue;
    const fs::path top = root / (first ? "sys/fs/cgroup/memory" : "sys/fs/cgroup");
    const char* const file = first ? "memory.limit_in_bytes" : "memory.max";
    fs::path group = line.substr(path);
    for (bool more = true; more; group = group.parent_path()) {
      more = group.has_relative_path();
      const auto limit = bytes_in(top / group.relative_path() / file);
      if (limit) least = std::min(*limit, least.value_or(*limit));
    }
  }
  return least;
}

}  // namespace

std::uint64_t available_memory(const fs::path& root) {
  const std::uint64_t available = memory_available(root).value_or(0);
  return std::min(available, memory_limit(root).value_or(available));
}

std::size_t beyond_caches(const fs::path& root) {
  constexpr std::uint64_t kLeast = std::uint64_t{128} << 20;
  std::uint64_t caches = data_caches(root);
  if (caches == 0) caches = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_LEVEL3_CACHE_SIZE)));
  const std::uint64_t available = available_memory(root);
  return static_cast<std::size_t>(std::max(kLeast, std::min(2 * caches, available / 8)));
}

}  // namespace pkv
