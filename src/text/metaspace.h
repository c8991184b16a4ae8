// What pre-tokenizer and decoder of the name Metaspace share: the character that stands for a space, as in
// SentencePiece, and when it is put in front of a word.
#pragma once

#include <string>
#include <string_view>

#include "base/json_node.h"

namespace pkv::text {

enum class Prepend { always, first, never };  // in front of every word, of the one that begins the text, of none

struct MetaspaceMark {
  std::string replacement;  // one character, mostly U+2581
  Prepend prepend;
  bool split;  // into words that begin with it
};

// Of the present form (prepend_scheme) and the older one (add_prefix_space). Errors are load errors.
MetaspaceMark read_metaspace(const JsonNode& node);

bool is_one_character(std::string_view text);

}  // namespace pkv::text
