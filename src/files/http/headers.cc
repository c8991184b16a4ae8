#include "files/http/headers.h"

#include <algorithm>
#include <cctype>

namespace pkv::http {

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  return begin == text.npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

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

}  // namespace pkv::http
