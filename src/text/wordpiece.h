// A WordPiece model, as BERT has it: a word is the longest token that it begins with, then again and again the longest
// token that goes on with it, which the vocabulary spells with a prefix; a word for which that fails is unknown as a
// whole. Equals the WordPiece model of the `tokenizers` library.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace pkv::text {

class WordPiece {
 public:
  static constexpr std::int64_t kMostCharacters = 1 << 16;

  // `vocab` is closed. A word of more than `most` characters is unknown.
  WordPiece(const Vocab& vocab, std::string unk_token, std::string prefix, std::int64_t most);

  // Error::load for an unknown word where the vocabulary has no unk_token. `vocab` as above.
  void encode(const Vocab& vocab, std::string_view word, std::vector<std::int32_t>& ids) const;

 private:
  bool split(const Vocab& vocab, std::string_view word, std::vector<std::int32_t>& ids) const;

  std::string unk_token_, prefix_;
  std::int64_t most_;
  std::vector<std::size_t> sizes_;  // of tokens, in bytes, each once, the longest first
};

}  // namespace pkv::text
