// Patterns as Split and Replace spell them in tokenizer.json: {"String": "_"} is that text, {"Regex": "\\s+"} a regular
// expression (regex.h). Read them with read_pattern; replace_all serves the normaliser and the decoder of the name
// Replace.
#pragma once

#include <string>
#include <string_view>

#include "text/node.h"
#include "text/regex.h"

namespace pkv::text {

// In bytes. Positions fit 32 bits even when the byte alphabet doubles them.
inline constexpr std::size_t kLongestText = 1 << 30;

Regex read_pattern(const Node& node);

// Error::usage when the result would be longer than kLongestText.
std::string replace_all(const Regex& pattern, std::string_view text, std::string_view content);

}  // namespace pkv::text
