// Links in Markdown: [text](target), [name]: target, src="target" and href="target", outside code.
#include <algorithm>
#include <cctype>
#include <map>
#include <regex>
#include <set>

#include "house/checks.h"
#include "house/reading.h"
#include "support/shell.h"

namespace pkv::house {
namespace {

namespace fs = std::filesystem;
using support::read;

// The text with its fenced blocks and `code` blanked out, lines staying where they are.
std::string without_code(const std::string& text) {
  static const std::regex fence(R"(\s*(```|~~~).*)");
  std::string prose;
  bool inside = false;
  for (const std::string& line : lines_of(text)) {
    const bool edge = std::regex_match(line, fence);
    if (!edge && !inside) prose += line;
    if (edge) inside = !inside;
    prose += '\n';
  }
  for (std::size_t open = prose.find('`'); open != std::string::npos; open = prose.find('`', open)) {
    const std::size_t run = std::min(prose.find_first_not_of('`', open), prose.size()) - open;
    const std::size_t close = prose.find(std::string(run, '`'), open + run);
    if (close == std::string::npos || close > prose.find("\n\n", open)) {
      open += run;  // no code after all
      continue;
    }
    for (; open < close + run; ++open) {
      if (prose[open] != '\n') prose[open] = ' ';
    }
  }
  return prose;
}

// The anchor that GitHub gives a heading: its words in lower case, joined by dashes.
std::string anchor_of(const std::string& heading) {
  static const std::regex link(R"(!?\[([^\]]*)\]\([^)]*\))");
  std::string anchor;
  for (const char c : std::regex_replace(heading, link, "$1")) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) != 0 || u >= 0x80 || c == '-' || c == '_') anchor += static_cast<char>(std::tolower(u));
    if (c == ' ') anchor += '-';
  }
  return anchor;
}

std::set<std::string> anchors_of(const std::string& text) {
  static const std::regex heading(R"( {0,3}#{1,6}\s+(.*?)\s*#*\s*)");
  static const std::regex fence(R"(\s*(```|~~~).*)");
  static const std::regex named(R"re((?:id|name)="([^"]+)")re");
  std::set<std::string> anchors;
  std::map<std::string, int> seen;
  bool inside = false;
  for (const std::string& line : lines_of(text)) {
    std::smatch m;
    if (std::regex_match(line, fence)) inside = !inside;
    if (inside) continue;
    if (std::regex_match(line, m, heading)) {
      const std::string anchor = anchor_of(m[1]);
      const int count = seen[anchor]++;
      anchors.insert(count == 0 ? anchor : anchor + "-" + std::to_string(count));
    }
    if (std::regex_search(line, m, named)) anchors.insert(m[1]);
  }
  return anchors;
}

struct Link {
  int line;
  std::string target;
};

std::vector<Link> links_of(const std::string& text) {
  static const std::vector<std::regex> patterns = {
      std::regex(R"(\]\(\s*<?([^)\s>]+))"),
      std::regex(R"re((?:src|href|srcset)="([^"]+)")re"),
      std::regex(R"(^ {0,3}\[[^\]]+\]:\s*(\S+))"),
  };
  std::vector<Link> links;
  int number = 0;
  for (const std::string& line : lines_of(without_code(text))) {
    ++number;
    for (const std::regex& pattern : patterns) {
      for (std::sregex_iterator m(line.begin(), line.end(), pattern), end; m != end; ++m) {
        links.push_back({number, (*m)[1]});
      }
    }
  }
  return links;
}

// Why `target`, a link in the document `file`, leads nowhere; empty if it leads somewhere or to another site.
std::string objection(const fs::path& root, const std::string& file, const std::string& target) {
  static const std::regex elsewhere(R"([a-z]+:.*|//.*)");
  if (std::regex_match(target, elsewhere)) return {};
  const std::string path = target.substr(0, target.find('#'));
  const std::string anchor = target.find('#') == std::string::npos ? "" : target.substr(target.find('#') + 1);
  const fs::path to = (path.empty() ? root / file : (root / file).parent_path() / path).lexically_normal();
  if (to.lexically_relative(root.lexically_normal()).string().starts_with("..")) return "leads out of the repository";
  if (!fs::exists(to)) return "leads to no file";
  if (anchor.empty() || to.extension() != ".md") return {};
  return anchors_of(read(to)).contains(anchor) ? "" : "leads to no heading";
}

}  // namespace

Findings broken_links(const fs::path& root) {
  Findings findings;
  for (const std::string& file : documents(root)) {
    for (const Link& link : links_of(read(root / file))) {
      const std::string why = objection(root, file, link.target);
      if (!why.empty()) findings.push_back({file, link.line, "the link " + link.target + " " + why});
    }
  }
  return findings;
}

}  // namespace pkv::house
