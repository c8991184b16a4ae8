// Pre-tokenisers: they cut normalised text into words, which merges never cross. ByteLevel, Metaspace, Split, Digits,
// Punctuation, Whitespace, WhitespaceSplit, BertPreTokenizer, CharDelimiterSplit and Sequence; any other is refused by
// name. Words go from one to the next as spans of one text, which a step may rewrite (ByteLevel does).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_node.h"
#include "text/regex.h"

namespace pkv::text {

// Words in order, none of them empty. Text between words has been removed.
struct Words {
  std::string text;
  std::vector<Match> spans;  // of `text`
  std::size_t origin = 0;    // bytes at the beginning of `text` that stand for the whole text's first character

  bool at_start(std::size_t i) const { return spans[i].begin < origin; }

  std::string_view operator[](std::size_t i) const {
    return std::string_view(text).substr(spans[i].begin, spans[i].end - spans[i].begin);
  }
};

// White space in front of which text may be cut; see cuts.h.
enum class CutBefore { nothing, space, white_space };  // nothing; U+0020 only; any of ASCII

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Words& words) const = 0;

  // Text cut in front of such a character, behind one that is no white space, has the words of its parts.
  virtual CutBefore cut_before() const { return CutBefore::nothing; }
  // Where a text stays one word, what a space in it becomes; empty otherwise, or where it has become that before.
  virtual std::string_view mark() const { return {}; }
  virtual bool cuts_at_spaces_alone() const { return false; }
  // Takes no white space together with another character, and looks at none: a cut before white space cuts a word in
  // two, or none, and changes no other.
  virtual bool leaves_spaces() const { return false; }
};

std::unique_ptr<const PreTokenizer> make_pre_tokenizer(const JsonNode& node);

}  // namespace pkv::text
