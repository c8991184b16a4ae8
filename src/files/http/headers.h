// What a server says in its headers. Everything here takes text that a stranger wrote: it gives a value or nothing, and
// never more memory than the text deserves.
#pragma once

#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pkv::http {

// The text without the white space of ASCII around it.
std::string_view trimmed(std::string_view text);

// All of the text as a number; none when it is anything else.
template <class Number>
std::optional<Number> whole_number(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

// Headers of one response, names in lower case. Feed it lines as they come, the status line included, which begins
// anew; a line that is no header is ignored. False when they are more than anyone needs.
class Headers {
 public:
  bool add(std::string_view line);
  std::string_view get(std::string_view name) const;  // empty when absent; the first of several
  std::optional<std::uint64_t> number(std::string_view name) const;

 private:
  static constexpr std::size_t kMost = 256 << 10;
  std::map<std::string, std::string, std::less<>> values_;
  std::size_t bytes_ = 0;
};

// Seconds until requests are welcome again, of a header such as `"api";r=0;t=55`; none when some are left.
std::optional<std::int64_t> parse_rate_limit(std::string_view header);

}  // namespace pkv::http
