#include "files/hub/wire.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/file.h"

namespace pkv::hub {

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  return begin == text.npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

namespace {

template <class Number>
std::optional<Number> whole_number(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

}  // namespace

bool Headers::add(std::string_view line) {
  if (line.starts_with("HTTP/")) values_.clear();  // after "100 Continue", say
  if ((bytes_ += line.size()) > kMost) return false;
  const auto colon = line.find(':');
  if (line.starts_with("HTTP/") || colon == line.npos || colon == 0) return true;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  values_.emplace(std::move(name), trimmed(line.substr(colon + 1)));
  return true;
}

std::string_view Headers::get(std::string_view name) const {
  const auto at = values_.find(name);
  return at == values_.end() ? std::string_view() : at->second;
}

std::optional<std::uint64_t> Headers::number(std::string_view name) const {
  return whole_number<std::uint64_t>(get(name));
}

std::optional<std::string> normal_etag(std::string_view header) {
  while (header.starts_with('W') || header.starts_with('/')) header.remove_prefix(1);
  while (header.starts_with('"')) header.remove_prefix(1);
  while (header.ends_with('"')) header.remove_suffix(1);
  // The names of blobs, and of what lies beside them: a lock, and a file that is not complete.
  if (header.size() > 200 || !is_plain_file_name(header)) return {};
  if (header.ends_with(".incomplete") || header.ends_with(".lock") || header.front() == '.') return {};
  return std::string(header);
}

std::optional<ContentRange> parse_content_range(std::string_view header) {
  if (!header.starts_with("bytes ")) return {};
  header.remove_prefix(6);
  const auto dash = header.find('-'), slash = header.find('/');
  if (dash == header.npos || slash == header.npos || slash < dash) return {};
  const auto first = whole_number<std::uint64_t>(header.substr(0, dash));
  const auto last = whole_number<std::uint64_t>(header.substr(dash + 1, slash - dash - 1));
  const std::string_view size = header.substr(slash + 1);
  const auto total = whole_number<std::uint64_t>(size);
  if (!first || !last || *last < *first || (size != "*" && (!total || *total <= *last))) return {};
  return ContentRange{.first = *first, .last = *last, .size = total};
}

std::optional<std::int64_t> parse_rate_limit(std::string_view header) {
  const auto value = [&](std::string_view name) {
    const auto at = header.find(name);
    if (at == header.npos) return std::optional<std::int64_t>();
    std::string_view digits = header.substr(at + name.size());
    return whole_number<std::int64_t>(digits.substr(0, digits.find_first_not_of("0123456789")));
  };
  const auto left = value(";r="), seconds = value(";t=");
  if (!left || *left != 0 || !seconds || *seconds < 0) return {};
  return seconds;
}

std::string next_page(std::string_view link) {
  while (!link.empty()) {
    const auto open = link.find('<'), close = link.find('>');
    if (open == link.npos || close == link.npos || close < open) return {};
    const std::string_view address = link.substr(open + 1, close - open - 1);
    link.remove_prefix(close + 1);
    const std::string_view about = link.substr(0, link.find('<'));
    if (about.find("rel=\"next\"") != about.npos || about.find("rel=next") != about.npos) return std::string(address);
  }
  return {};
}

}  // namespace pkv::hub
