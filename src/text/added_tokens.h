// Tokens that were added to a trained vocabulary, special ones among them: how they are found in the text before
// anything else looks at it, longest first, and which ids they have. Those with `normalized` are sought, in normalised
// form, in normalised text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/regex.h"
#include "text/trie.h"

namespace pkv::text {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  std::string form;  // content as it is sought and decoded: normalised if `normalized`
  bool single_word = false, lstrip = false, rstrip = false, normalized = true, special = false;
  bool skipped = false;  // by decoding without special tokens
};

// A stretch of text: an added token, or text between them.
struct Section {
  std::size_t begin, end;
  const AddedToken* token;  // null for text
};

class AddedTokens {
 public:
  // Takes tokens with distinct ids. Returns a form that two tokens would be found by, if there is one.
  std::optional<std::string> set(std::vector<AddedToken> tokens);

  // Sections in order. A token with lstrip or rstrip takes the white space beside it along.
  std::vector<Section> split(std::string_view text, bool normalized) const;

  const AddedToken* find(std::int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  bool alone(std::string_view text, std::size_t begin, std::size_t end) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::int32_t, std::size_t> by_id_;
  std::unordered_map<std::string_view, std::size_t> by_content_;
  Trie raw_, normalized_;
  Regex word_character_ = Regex::one_word_character();
};

}  // namespace pkv::text
