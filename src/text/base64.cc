#include "text/base64.h"

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

namespace pkv::text {

std::string decode_base64(const JsonNode& node, std::size_t most) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string& text = node.text();
  std::string bytes;
  std::uint32_t bits = 0;
  std::size_t letter = 0, padding = 0;
  for (const char c : text) {
    const std::size_t value = letters.find(c);
    if (c == '=' && letter + 2 >= text.size()) {
      ++padding;
    } else if (value == letters.npos || padding > 0) {
      node.wrong("base64");
    }
    bits = bits << 6 | static_cast<std::uint32_t>(c == '=' ? 0 : value);
    if (++letter % 4 != 0) continue;
    for (const int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 0xff);
    bits = 0;
  }
  if (letter % 4 != 0 || bytes.size() <= padding) node.wrong("base64 of at least one byte");
  bytes.resize(bytes.size() - padding);
  if (bytes.size() > most) node.wrong(fmt::format("at most {} bytes", most));
  return bytes;
}

}  // namespace pkv::text
