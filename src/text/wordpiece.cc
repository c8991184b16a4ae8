#include "text/wordpiece.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"

namespace pkv::text {

WordPiece::WordPiece(const Vocab& vocab, std::string unk_token, std::string prefix, std::int64_t most)
    : unk_token_(std::move(unk_token)), prefix_(std::move(prefix)), most_(most) {
  std::set<std::size_t, std::greater<>> sizes;
  vocab.all_of([&](std::string_view token) { return sizes.insert(token.size()), true; });
  sizes_.assign(sizes.begin(), sizes.end());
}

// False where no token goes on with the word.
bool WordPiece::split(const Vocab& vocab, std::string_view word, std::vector<std::int32_t>& ids) const {
  std::string piece;
  for (std::size_t at = 0; at < word.size();) {
    const std::string_view prefix = at == 0 ? std::string_view() : prefix_;
    piece.assign(prefix) += word.substr(at);
    // Sizes at which a character of the word is cut give no token, since tokens are UTF-8.
    const auto longest = std::lower_bound(sizes_.begin(), sizes_.end(), piece.size(), std::greater<>());
    const auto found = std::find_if(longest, sizes_.end(), [&](std::size_t size) {
      return size > prefix.size() && vocab.id(std::string_view(piece).substr(0, size)).has_value();
    });
    if (found == sizes_.end()) return false;
    ids.push_back(*vocab.id(std::string_view(piece).substr(0, *found)));
    at += *found - prefix.size();
  }
  return true;
}

void WordPiece::encode(const Vocab& vocab, std::string_view word, std::vector<std::int32_t>& ids) const {
  std::int64_t characters = 0;
  for (std::size_t at = 0; at < word.size(); at += decode_at(word, at).size) ++characters;
  const std::size_t before = ids.size();
  if (characters <= most_ && split(vocab, word, ids)) return;
  ids.resize(before);
  const auto unknown = vocab.id(unk_token_);
  if (!unknown) {
    fail_load({.what = "a word is not in the vocabulary, which has no token for what it lacks",
               .where = quote(word.substr(0, 100)),
               .expected = "the unk_token " + quote(unk_token_) + " in model.vocab"});
  }
  ids.push_back(*unknown);
}

}  // namespace pkv::text
