#include "cli/transcript.h"

#include <regex>
#include <sstream>
#include <utility>
#include <vector>

namespace pkv::support {
namespace {

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::string prefixed(char mark, const std::string& text) {
  std::string result, line;
  for (std::istringstream lines(text); std::getline(lines, line);) {
    result += line.empty() ? std::string{mark} : std::string{mark, ' '} + line;
    result += '\n';
  }
  if (!text.empty() && text.back() != '\n') result += std::string{mark} + "(no end of line)\n";
  return result;
}

bool printed_or_status(const std::string& line) {
  return !line.empty() && (line[0] == '|' || line[0] == '!' || line[0] == '?');
}

}  // namespace

std::string normalised(std::string text, const Shell& shell) {
  static const std::vector<std::pair<std::regex, std::string>> varying = {
      {std::regex(R"(\b\d+ threads?\b)"), "N threads"},
      {std::regex(R"(\b(AVX10_2|AVX3(_ZEN4|_SPR|_DL)?|AVX2|SSE4|SSSE3|SSE2|NEON|SVE2?(_\d+)?|EMU128|SCALAR)\b)"),
       "SIMD"},
      {std::regex(R"( +\d+(\.\d)? ×)"), " K ×"},
      {std::regex(R"((identical|equal within rounding),\d[\d.e+-]*)"), "$1,K"},
      {std::regex("\"gain\": \\{[^}]*\\}"), "\"gain\": GAIN"},
      {std::regex("\"environment\": \\{[^}]*\\}"), "\"environment\": ENVIRONMENT"},
  };
  replace_all(text, shell.folder().string(), "FOLDER");
  for (const auto& [pattern, name] : varying) text = std::regex_replace(text, pattern, name);
  return text;
}

std::string replay(const std::string& transcript, const Shell& shell) {
  std::string result, line;
  for (std::istringstream lines(transcript); std::getline(lines, line);) {
    if (printed_or_status(line)) continue;
    result += line + '\n';
    if (!line.starts_with("$ ")) continue;
    const Ran ran = shell.run(line.substr(2));
    result += prefixed('|', normalised(ran.out, shell)) + prefixed('!', normalised(ran.err, shell)) + "? " +
              std::to_string(ran.status) + '\n';
  }
  return result;
}

}  // namespace pkv::support
