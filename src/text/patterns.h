// Patterns as Split and Replace spell them in tokenizer.json: {"String": "_"} is that text, {"Regex": "\\s+"} a regular
// expression (regex.h). Read them with read_pattern; replace_all serves the normaliser and the decoder of the name
// Replace.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/json_node.h"
#include "text/regex.h"

namespace pkv::text {

// In bytes. Positions fit 32 bits even when the byte alphabet doubles them.
inline constexpr std::size_t kLongestText = 1 << 30;

Regex read_pattern(const JsonNode& node);

// None when the result would be longer than `most` bytes.
std::optional<std::string> replace_all(const Regex& pattern, std::string_view text, std::string_view content,
                                       std::size_t most);

}  // namespace pkv::text
