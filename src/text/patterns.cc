#include "text/patterns.h"

#include <fmt/format.h>

#include "base/error.h"

namespace pkv::text {

Regex read_pattern(const Node& node) {
  node.only({"String", "Regex"});
  if (node.has("String") == node.has("Regex")) node.wrong("an object with either String or Regex");
  if (node.has("String")) return Regex::literal(node.at("String").text());
  const Node pattern = node.at("Regex");
  return Regex::compile(pattern.text(), pattern.where());
}

std::string replace_all(const Regex& pattern, std::string_view text, std::string_view content) {
  if (text.empty()) return "";  // not even an empty match counts
  std::string out;
  std::size_t at = 0;
  Regex::Matcher matcher(pattern);
  matcher.start(text);
  while (const auto m = matcher.next()) {
    out += text.substr(at, m->begin - at);
    out += content;
    at = m->end;
    if (out.size() > kLongestText) {
      fail_usage(
          {.what = "replacing makes the text too long", .expected = fmt::format("at most {} bytes", kLongestText)});
    }
  }
  out += text.substr(at);
  return out;
}

}  // namespace pkv::text
