#include "house/reading.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace pkv::house {

namespace fs = std::filesystem;

std::vector<std::string> files_under(const fs::path& root, const std::string& folder,
                                     const std::vector<std::string>& endings) {
  std::vector<std::string> files;
  if (!fs::is_directory(root / folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    const std::string name = fs::relative(entry.path(), root).generic_string();
    const auto ends = [&](const std::string& ending) { return name.ends_with(ending); };
    if (entry.is_regular_file() && std::any_of(endings.begin(), endings.end(), ends)) files.push_back(name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

namespace {

bool part_of_a_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The end of the string or character literal that begins at `at`; `at` itself for the quote of 100'000.
std::size_t end_of_literal(const std::string& text, std::size_t at) {
  const char quote = text[at];
  const bool after_word = at > 0 && part_of_a_word(text[at - 1]);
  if (quote == '\'' && after_word) return at;
  if (quote == '"' && after_word && text[at - 1] == 'R') {
    const std::size_t open = text.find('(', at);
    if (open == std::string::npos) return text.size() - 1;
    const std::string close = ")" + text.substr(at + 1, open - at - 1) + "\"";
    const std::size_t end = text.find(close, open);
    return end == std::string::npos ? text.size() - 1 : end + close.size() - 1;
  }
  std::size_t end = at + 1;
  while (end < text.size() && text[end] != quote && text[end] != '\n') end += text[end] == '\\' ? 2 : 1;
  return std::min(end, text.size() - 1);
}

}  // namespace

std::string without_comments(const std::string& text) {
  std::string code = text;
  const auto blank = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < std::min(to, code.size()); ++i) {
      if (code[i] != '\n') code[i] = ' ';
    }
    return std::min(to, code.size());
  };
  for (std::size_t i = 0; i < text.size();) {
    if (text.compare(i, 2, "//") == 0) {
      i = blank(i, text.find('\n', i));
    } else if (text.compare(i, 2, "/*") == 0) {
      const std::size_t end = text.find("*/", i + 2);
      i = blank(i, end == std::string::npos ? end : end + 2);
    } else if (text[i] == '"' || text[i] == '\'') {
      i = end_of_literal(text, i) + 1;
    } else {
      ++i;
    }
  }
  return code;
}

std::vector<std::string> documents(const fs::path& root) {
  std::vector<std::string> files = files_under(root, "docs", {".md"});
  for (const char* name : {"models/README.md", "CONTRIBUTING.md", "README.md"}) {
    if (fs::exists(root / name)) files.insert(files.begin(), name);
  }
  return files;
}

}  // namespace pkv::house
