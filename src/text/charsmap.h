// SentencePiece's precompiled map of characters, the normaliser of its models: a trie in a double array from what a
// character or a cluster is to what it becomes. Applied as the `tokenizers` library applies it: to clusters of at most
// 5 bytes, else to each of their characters, and of several prefixes that the map has the shortest counts.
#pragma once

#include <memory>

#include "text/normalizers.h"

namespace pkv::text {

// {"type": "Precompiled", "precompiled_charsmap": base64}. Load errors for a map that is damaged.
std::unique_ptr<const Normalizer> make_charsmap(const JsonNode& node);

}  // namespace pkv::text
