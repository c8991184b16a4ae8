// The files of a folder that a tokenizer is read from, as room text reads them. One list for those who fetch, copy and
// hash them.
#pragma once

#include <array>
#include <string_view>

namespace pkv::hf {

inline constexpr std::array<std::string_view, 9> kTokenizerFiles{
    "added_tokens.json",     "merges.txt", "special_tokens_map.json", "tokenizer.json", "vocab.json",
    "tokenizer_config.json", "vocab.txt",  "tokenizer.model",         "tekken.json"};  // in the order of hashing

}  // namespace pkv::hf
