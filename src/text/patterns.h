// Patterns as Split and Replace spell them in tokenizer.json: {"String": "_"} or {"Regex": "\\s+"}.
#pragma once

#include <string>
#include <string_view>

#include "text/json.h"
#include "text/regex.h"

namespace pkv::text {

Regex read_pattern(const Node& node);

std::string replace_all(const Regex& pattern, std::string_view text, std::string_view content);

}  // namespace pkv::text
