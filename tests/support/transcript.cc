#include "support/transcript.h"

#include <algorithm>
#include <cmath>
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

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::string line;
  for (std::istringstream stream(text); std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// A row of the table of logits: its name, and four numbers.
struct Row {
  std::string name;
  std::vector<double> numbers;  // empty: this is no such row
};

Row row_of(const std::string& line) {
  static const std::regex pattern(R"((\| )?  (mean|std|min|25%|50%|75%|max)(( +-?\d+\.\d{6}){4}))");
  std::smatch m;
  if (!std::regex_match(line, m, pattern)) return {};
  Row row{.name = m[2], .numbers = {}};
  double number = 0;
  for (std::istringstream stream(m[3]); stream >> number;) row.numbers.push_back(number);
  return row;
}

// Sums of another order move fp32 logits by a few units in the last place (2^-23 of the largest). Products by 4-bit
// weights round activations to steps of 2^-15 of the largest near them: what another order moves over the edge of a
// step changes one of the terms by that, and a sum of many by less (2^-16.6 is the most seen between sets).
constexpr double kApart = 0x1.0p-15;
constexpr double kPrinted = 1e-6;  // six decimals each: half a unit here and half a unit there

bool near(const Row& a, const Row& b, double largest) {
  const auto apart = [](double x, double y) { return std::abs(x - y); };
  return !a.numbers.empty() && a.name == b.name && std::ranges::equal(a.numbers, b.numbers, [&](double x, double y) {
    return apart(x, y) <= kApart * largest + kPrinted;
  });
}

// The largest number of the table that line `at` stands in.
double largest_around(const std::vector<std::string>& lines, std::size_t at) {
  while (at > 0 && !row_of(lines[at - 1]).numbers.empty()) --at;
  double largest = 0;
  for (; at < lines.size(); ++at) {
    const Row row = row_of(lines[at]);
    if (row.numbers.empty()) break;
    for (const double x : row.numbers) largest = std::max(largest, std::abs(x));
  }
  return largest;
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

std::string settled(const std::string& approved, const std::string& now) {
  const std::vector<std::string> before = lines_of(approved);
  std::vector<std::string> after = lines_of(now);
  std::string result;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const bool same = before.size() == after.size() && before[i] != after[i] &&
                      near(row_of(before[i]), row_of(after[i]), largest_around(before, i));
    result += (same ? before[i] : after[i]) + '\n';
  }
  return result;
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
