// Tokens that were added to a trained vocabulary, special ones among them: how they are found in the text before
// anything else looks at it, longest first, and which ids they have. Those with `normalized` are sought, in normalised
// form, in normalised text. They come in batches, as files and settings add them, and a later one may change an earlier
// one's flags, all as in the `tokenizers` library. Add all, then close once; afterwards read-only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "text/normalizers.h"
#include "text/regex.h"
#include "text/trie.h"
#include "text/vocab.h"

namespace pkv::text {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  std::string form;  // content as it is sought and decoded: normalised if `normalized`
  bool single_word = false, lstrip = false, rstrip = false, normalized = true, special = false;
  bool skipped = false;  // by decoding without special tokens

  friend bool operator==(const AddedToken& a, const AddedToken& b);  // what a file says of them, but for the id
};

// A stretch of text: an added token, or text between them.
struct Section {
  std::size_t begin, end;
  const AddedToken* token;  // null for text
};

class AddedTokens {
 public:
  static constexpr std::size_t kMostBytes = 4 << 20;  // of all forms; finding them takes about 80 bytes for each

  // A token gets the id that it has, here or in the vocabulary, or the next free one: that of the `id` member of
  // `tokens` is not looked at. Empty ones are passed over. `where` is only named in errors, which are load errors: a
  // token that normalises to nothing, and more than kMostBytes.
  void add(std::vector<AddedToken> tokens, const Vocab& vocab, const Normalizer* normalizer, std::string_view where);
  // Likewise, but each with its own id, which nothing else has, and not normalised.
  void add_by_id(std::vector<AddedToken> tokens, std::string_view where);
  void split_special_tokens(bool split) { splits_special_ = split; }  // as other text, in place of finding them
  std::optional<std::string> close();  // a form that two tokens are found by, if there is one; the first gets it

  // Sections in order. A token with lstrip or rstrip takes the white space beside it along.
  std::vector<Section> split(std::string_view text, bool normalized) const;

  const AddedToken* find(std::int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  bool alone(std::string_view text, std::size_t begin, std::size_t end) const;
  std::int32_t next_id(const Vocab& vocab) const;
  void count_bytes(std::size_t more, std::string_view where);
  void keep(AddedToken token);

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::int32_t, std::size_t> by_id_;
  std::unordered_map<std::string, std::size_t> by_content_;
  std::unordered_set<std::string> once_special_;  // contents; what was special once is skipped for ever
  std::size_t bytes_ = 0;                         // of all forms
  bool splits_special_ = false;
  Trie raw_, normalized_;
  Regex word_character_ = Regex::one_word_character();
};

}  // namespace pkv::text
