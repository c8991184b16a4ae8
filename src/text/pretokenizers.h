// Pre-tokenisers: they cut normalised text into words, which merges never cross. ByteLevel, Split, Digits, Punctuation,
// Whitespace and Sequence; any other is refused by name. Words go from one to the next as spans of one text, which a
// step may rewrite (ByteLevel does).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/node.h"
#include "text/regex.h"

namespace pkv::text {

// Words in order, none of them empty. Text between words has been removed.
struct Words {
  std::string text;
  std::vector<Match> spans;  // of `text`

  std::string_view operator[](std::size_t i) const {
    return std::string_view(text).substr(spans[i].begin, spans[i].end - spans[i].begin);
  }
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Words& words) const = 0;
};

std::unique_ptr<const PreTokenizer> make_pre_tokenizer(const Node& node);

// As GPT-2 has it; for tokenizers that come without a tokenizer.json.
std::unique_ptr<const PreTokenizer> byte_level(bool add_prefix_space);

}  // namespace pkv::text
