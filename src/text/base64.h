// Bytes that a JSON file spells in base64.
#pragma once

#include <cstddef>
#include <string>

#include "base/json_node.h"

namespace pkv::text {

// Load error, naming the place, for anything else and for more than `most` bytes.
std::string decode_base64(const JsonNode& node, std::size_t most);

}  // namespace pkv::text
