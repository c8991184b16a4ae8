// Who may include what: cmake/rooms.txt against the #include lines.
#include <algorithm>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>

#include "house/checks.h"
#include "house/reading.h"
#include "support/shell.h"

namespace pkv::house {
namespace {

namespace fs = std::filesystem;
using support::read;

constexpr const char* kList = "cmake/rooms.txt";
constexpr const char* kPage = "docs/house.md";

// How the headers of a library begin, and the library's name in the list. Those named "-" belong in no room.
const std::vector<std::pair<std::string, std::string>> kLibraryHeaders = {
    {"fmt/", "fmt"},
    {"nlohmann/", "nlohmann_json"},
    {"hwy/", "hwy"},
    {"pcre2", "pcre2"},
    {"utf8proc", "utf8proc"},
    {"curl/", "curl"},
    {"openssl/", "openssl"},
    {"zip", "zip"},
    {"xxh", "xxhash"},
    {"cuda", "cuda"},
    {"CLI/", "-"},
    {"gtest/", "-"},
    {"gmock/", "-"},
    {"rapidcheck", "-"},
    {"benchmark/", "-"},
};

// What the system gives besides the standard library, whose headers have neither a folder nor an ending.
const std::regex kSystem(
    R"((sys|linux|net|netinet|arpa|asm)/.*|(dirent|dlfcn|endian|errno|fcntl|fnmatch|limits|netdb|poll|)"
    R"(pthread|pwd|sched|signal|spawn|stdlib|string|syslog|termios|time|unistd|wchar)\.h)");

const std::regex kIntrinsics(R"(.*intrin\.h|cpuid\.h|arm_[a-z0-9_]+\.h)");

struct Room {
  std::string name;
  int line = 1;
  std::set<std::string> uses, libraries;
};

std::set<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

std::vector<Room> rooms(const fs::path& root) {
  std::vector<Room> result;
  static const std::regex pattern(R"(([a-z/]+):([^|]*)\|(.*))");
  int number = 0;
  for (const std::string& line : lines_of(read(root / kList))) {
    ++number;
    std::smatch m;
    if (std::regex_match(line, m, pattern)) result.push_back({m[1], number, words(m[2]), words(m[3])});
  }
  return result;
}

struct Include {
  int line;
  bool quoted;
  std::string path;
};

std::vector<Include> includes(const std::string& text) {
  std::vector<Include> result;
  static const std::regex pattern(R"(\s*#\s*include\s*([<"])([^>"]+)[>"].*)");
  int number = 0;
  for (const std::string& line : lines_of(without_comments(text))) {
    ++number;
    std::smatch m;
    if (std::regex_match(line, m, pattern)) result.push_back({number, m[1] == "\"", m[2]});
  }
  return result;
}

// The library that a header belongs to; empty if none in the table.
std::string library_of(const std::string& header) {
  for (const auto& [beginning, library] : kLibraryHeaders) {
    if (header.starts_with(beginning)) return library;
  }
  return {};
}

// The room whose folder holds this path below src/; empty if none does.
std::string room_of(const std::string& path, const std::set<std::string>& all) {
  for (std::size_t end = path.rfind('/'); end != std::string::npos && end > 0; end = path.rfind('/', end - 1)) {
    if (const std::string folder = path.substr(0, end); all.contains(folder)) return folder;
  }
  return {};
}

// Why `room` may not include this in that file; empty if it may.
std::string objection(const Include& include, const std::string& file, const Room& room,
                      const std::set<std::string>& all) {
  const std::string& path = include.path;
  if (const std::string library = library_of(path); !library.empty()) {
    const bool shown = file.ends_with(".h") && !file.ends_with("-inl.h");
    if (room.libraries.contains(library)) return shown ? "a header shows the library of <" + path + ">" : "";
    return "room " + room.name + " does not list the library of <" + path + "> in " + kList;
  }
  if (include.quoted) {
    const std::string other = room_of(path, all);
    if (other.empty()) return "\"" + path + "\" is not the path of a room's header";
    if (other == room.name || room.uses.contains(other)) return {};
    return "room " + room.name + " may not use room " + other + " (" + kList + ")";
  }
  const bool standard = path.find_first_of("./") == std::string::npos;
  if (standard || std::regex_match(path, kSystem) || std::regex_match(path, kIntrinsics)) return {};
  return "<" + path + "> belongs to no library that the house knows";
}

Findings of_rooms(const fs::path& root) {
  Findings findings;
  const std::vector<Room> list = rooms(root);
  std::set<std::string> all;
  for (const Room& room : list) all.insert(room.name);
  for (const std::string& file : files_under(root, "src", {".h", ".cc"})) {
    const std::string name = room_of(file.substr(std::string("src/").size()), all);
    const auto room = std::find_if(list.begin(), list.end(), [&](const Room& r) { return r.name == name; });
    if (room == list.end()) {
      findings.push_back({file, 1, "is in no room of " + std::string(kList)});
      continue;
    }
    for (const Include& include : includes(read(root / file))) {
      const std::string why = objection(include, file, *room, all);
      if (!why.empty()) findings.push_back({file, include.line, why});
    }
  }
  return findings;
}

Findings of_intrinsics(const fs::path& root) {
  Findings findings;
  for (const char* folder : {"src", "apps", "tests", "bench", "fuzz"}) {
    for (const std::string& file : files_under(root, folder, {".h", ".cc"})) {
      if (file.starts_with("src/engine/kernels/")) continue;
      for (const Include& include : includes(read(root / file))) {
        if (!std::regex_match(include.path, kIntrinsics)) continue;
        findings.push_back({file, include.line, "<" + include.path + ">: intrinsics are for src/engine/kernels alone"});
      }
    }
  }
  return findings;
}

// The rooms that docs/house.md has a row for: "| **base** | ...".
std::vector<std::pair<std::string, int>> told_rooms(const fs::path& root) {
  std::vector<std::pair<std::string, int>> result;
  static const std::regex pattern(R"(\| \*\*([a-z/]+)\*\* \|.*)");
  int number = 0;
  for (const std::string& line : lines_of(read(root / kPage))) {
    ++number;
    std::smatch m;
    if (std::regex_match(line, m, pattern)) result.emplace_back(m[1], number);
  }
  return result;
}

}  // namespace

Findings rooms_not_told(const fs::path& root) {
  Findings findings;
  const std::vector<Room> list = rooms(root);
  const auto told = told_rooms(root);
  for (const Room& room : list) {
    const bool found = std::any_of(told.begin(), told.end(), [&](const auto& t) { return t.first == room.name; });
    if (!found) findings.push_back({kList, room.line, "room " + room.name + " has no row in " + kPage});
  }
  for (const auto& row : told) {
    const std::string& name = row.first;
    const bool found = std::any_of(list.begin(), list.end(), [&](const Room& r) { return r.name == name; });
    if (!found) findings.push_back({kPage, row.second, name + " is no room of " + kList});
  }
  return findings;
}

Findings broken_room_list(const fs::path& root) {
  Findings findings;
  std::set<std::string> above;
  std::set<std::string> libraries = {"threads"};
  for (const auto& [beginning, library] : kLibraryHeaders) libraries.insert(library);
  for (const Room& room : rooms(root)) {
    for (const std::string& use : room.uses) {
      if (!above.contains(use))
        findings.push_back({kList, room.line, room.name + " uses " + use + ", no room above it"});
    }
    for (const std::string& library : room.libraries) {
      if (!libraries.contains(library)) findings.push_back({kList, room.line, "unknown library " + library});
    }
    above.insert(room.name);
  }
  if (above.empty()) findings.push_back({kList, 1, "lists no rooms"});
  return findings;
}

Findings forbidden_includes(const fs::path& root) {
  Findings findings = of_rooms(root);
  const Findings more = of_intrinsics(root);
  findings.insert(findings.end(), more.begin(), more.end());
  return findings;
}

}  // namespace pkv::house
