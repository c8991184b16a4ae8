// What stands in a source file: how headers open, who names architectures.
#include <algorithm>
#include <cctype>
#include <iterator>
#include <set>

#include "house/checks.h"
#include "house/reading.h"
#include "support/shell.h"

namespace pkv::house {
namespace {

namespace fs = std::filesystem;
using support::read;

constexpr std::size_t kFewestLines = 1, kMostLines = 10;

// One page, one name; the files named here are what pages share.
std::set<std::string> architectures(const fs::path& root) {
  std::set<std::string> names = {"gpt2", "roberta", "mpt", "falcon"};
  for (const std::string& file : files_under(root, "src/engine/model/arch", {".cc"}))
    names.insert(fs::path(file).stem());
  for (const char* shared : {"arch", "decoder", "mixture", "rope", "rows"}) names.erase(shared);
  return names;
}

bool lower(char c) { return std::islower(static_cast<unsigned char>(c)) != 0; }
bool upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }

// A name of up to four letters counts only where it is a word of an identifier: mpt, Mpt, kMpt, MPT_X, not empty.
bool stands_alone(const std::string& line, std::size_t at, std::size_t length) {
  const char first = line[at], last = line[at + length - 1];
  const char before = at == 0 ? ' ' : line[at - 1];
  const char after = at + length == line.size() ? ' ' : line[at + length];
  const bool begins = !(lower(before) || upper(before)) || (lower(before) && upper(first));
  const bool ends = !(lower(after) || upper(after)) || (lower(last) && upper(after)) ||
                    std::isdigit(static_cast<unsigned char>(last)) != 0;
  return begins && ends;
}

bool names(const std::string& line, const std::string& name) {
  std::string folded = line;
  std::transform(line.begin(), line.end(), folded.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (std::size_t at = folded.find(name); at != std::string::npos; at = folded.find(name, at + 1)) {
    if (name.size() > 4 || stands_alone(line, at, name.size())) return true;
  }
  return false;
}

// Without what is said in it, a program's or a library's name.
void blank(std::string& line, std::string_view said) {
  for (std::size_t at = line.find(said); at != std::string::npos; at = line.find(said, at)) {
    line.replace(at, said.size(), said.size(), ' ');
  }
}

// Without its strings that hold several words: those are read, not compared.
std::string without_sentences(const std::string& line) {
  std::string code;
  for (std::size_t at = 0; at < line.size();) {
    std::size_t end = at + 1;
    if (line[at] == '"') {
      while (end < line.size() && line[end] != '"') end += line[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, line.size());
    }
    const std::string part = line.substr(at, end - at);
    if (line[at] != '"' || part.find(' ') == std::string::npos) code += part;
    at = end;
  }
  return code;
}

bool is_toggle(const std::string& line) {
  return line.starts_with("#if defined(") && line.ends_with(" == defined(HWY_TARGET_TOGGLE)");
}

}  // namespace

std::string listed(const Findings& findings) {
  std::string text;
  for (const Finding& f : findings) text += f.file + ":" + std::to_string(f.line) + ": " + f.says + "\n";
  return text;
}

Findings headers_without_opening(const fs::path& root) {
  Findings findings;
  for (const std::string& file : files_under(root, "src", {".h"})) {
    const std::vector<std::string> lines = lines_of(read(root / file));
    std::size_t comment = 0;
    while (comment < lines.size() && lines[comment].starts_with("//")) ++comment;
    if (comment < kFewestLines || comment > kMostLines) {
      findings.push_back({file, 1,
                          "opens with a comment of " + std::to_string(comment) + " lines instead of " +
                              std::to_string(kFewestLines) + " to " + std::to_string(kMostLines)});
    }
    const bool inl = file.ends_with("-inl.h");
    if (inl && std::none_of(lines.begin(), lines.end(), is_toggle)) {
      findings.push_back({file, static_cast<int>(comment) + 1, "has no guard by HWY_TARGET_TOGGLE"});
    }
    if (!inl && (comment == lines.size() || lines[comment] != "#pragma once")) {
      findings.push_back({file, static_cast<int>(comment) + 1, "#pragma once does not follow the opening comment"});
    }
  }
  return findings;
}

Findings architecture_names(const fs::path& root) {
  Findings findings;
  const std::set<std::string> list = architectures(root);
  std::vector<std::string> files = files_under(root, "src", {".h", ".cc"});
  std::ranges::copy(files_under(root, "apps", {".h", ".cc"}), std::back_inserter(files));
  for (const std::string& file : files) {
    if (file.starts_with("src/engine/model/arch/") || file.starts_with("src/text/")) continue;
    if (file.starts_with("src/engine/model/gguf/")) continue;  // what another format calls them
    if (file == "src/engine/model/architectures.cc") continue;
    if (file == "src/checker/article/article.cc") continue;  // the names of published runs; nothing branches on them
    const bool speaks = file.starts_with("apps/") || file.starts_with("src/subjects/");
    int number = 0;
    for (std::string line : lines_of(without_comments(read(root / file)))) {
      ++number;
      blank(line, "llama.cpp");
      if (speaks) line = without_sentences(line);
      for (const std::string& name : list) {
        if (names(line, name)) findings.push_back({file, number, "code names the architecture " + name});
      }
    }
  }
  return findings;
}

}  // namespace pkv::house
