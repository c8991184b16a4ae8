#include "text/patterns.h"

namespace pkv::text {

Regex read_pattern(const JsonNode& node) {
  node.only({"String", "Regex"});
  if (node.has("String") == node.has("Regex")) node.wrong("an object with either String or Regex");
  if (node.has("String")) return Regex::literal(node.at("String").text());
  const JsonNode pattern = node.at("Regex");
  return Regex::compile(pattern.text(), pattern.where());
}

std::optional<std::string> replace_all(const Regex& pattern, std::string_view text, std::string_view content,
                                       std::size_t most) {
  if (text.empty()) return "";  // not even an empty match counts
  std::string out;
  std::size_t at = 0;
  Regex::Matcher matcher(pattern);
  matcher.start(text);
  while (const auto m = matcher.next()) {
    out += text.substr(at, m->begin - at);
    out += content;
    at = m->end;
    if (out.size() > most) return std::nullopt;
  }
  out += text.substr(at);
  if (out.size() > most) return std::nullopt;
  return out;
}

}  // namespace pkv::text
