// A SentencePiece model (tokenizer.model), read from its protocol buffer without trust, and what transformers 5.24
// makes of it: a vocabulary with merges of the pieces that make up others, and, for a folder without a class of its
// own, the parts of a tokenizer.json after the model's own settings. SentencePiece itself is not needed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/json.h"
#include "text/settings.h"

namespace pkv::text {

struct SentencePieceModel {
  enum class Kind { normal = 1, unknown, control, user_defined, unused, byte };
  enum class Algorithm { unigram = 1, bpe, word, character };

  struct Piece {
    std::string text;
    float score = 0;
    Kind kind = Kind::normal;
  };

  std::vector<Piece> pieces;  // by id
  Algorithm algorithm = Algorithm::unigram;
  std::int32_t unk_id = 0, bos_id = 1, eos_id = 2;
  std::string unk_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>";
  bool byte_fallback = false;
  std::string charsmap;  // precompiled normalisation; empty: none
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

// `where` names the file in errors; all are load errors.
SentencePieceModel read_sentencepiece(std::string_view bytes, std::string_view where);

// Vocabulary and merges alone, merges in the order of ids, for a class that builds the rest.
TokenizerFile vocabulary_of(const SentencePieceModel& model, std::string_view where);

// All of it, merges in the order of scores, and pieces under the names that `settings.added` gives them. Sets the
// settings' tokens where no file names one.
TokenizerFile tokenizer_of(const SentencePieceModel& model, Settings& settings, std::string_view where);

// Control and user-defined pieces, which are sought in the text, become the additional tokens.
void add_pieces_sought(const SentencePieceModel& model, bool user_defined, Settings& settings);

}  // namespace pkv::text
