// A Unigram model: the pieces of a vocabulary that make up a word and whose scores have the greatest sum, in time
// linear in the word. Equals the Unigram model of the `tokenizers` library, ties included. T5's and XLM-R's tokenizers
// have it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "text/vocab.h"

namespace pkv::text {

class Unigram {
 public:
  // `scores` by id, from 0 on, as are the vocabulary's; it is closed.
  Unigram(const Vocab& vocab, std::vector<double> scores, std::optional<std::int32_t> unk_id, bool byte_fallback);

  // Error::load where the word has a character that no piece has and there is no unk_id. `vocab` as above.
  void encode(const Vocab& vocab, std::string_view word, std::vector<std::int32_t>& ids) const;

 private:
  // Calls visit(id, size) for each piece that `text` begins with, the shortest first.
  template <class Visit>
  void prefixes(const Vocab& vocab, std::string_view text, Visit visit) const;
  std::int32_t unknown() const;

  std::vector<double> scores_;
  std::vector<std::int32_t> sorted_;                                  // ids, by their pieces' bytes
  std::array<std::pair<std::uint32_t, std::uint32_t>, 256> first_{};  // in sorted_: those that begin with a byte
  std::optional<std::int32_t> unk_id_;
  bool byte_fallback_;
  double unknown_score_;
};

}  // namespace pkv::text
