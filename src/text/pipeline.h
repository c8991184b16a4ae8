// A tokenizer's parts, as loaded; read-only afterwards, so that threads may share it. load.cc makes one of a
// tokenizer.json, load_folder.cc one of all files of a folder, and text.cc runs text and ids through it: added
// tokens, normaliser, added tokens again, pre-tokeniser, BPE, post-processor; and back through the decoder.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoders.h"
#include "text/json.h"
#include "text/normalizers.h"
#include "text/postprocessors.h"
#include "text/pretokenizers.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

namespace pkv::text {

struct Pipeline {
  std::unique_ptr<const Normalizer> normalizer;       // may be null
  std::unique_ptr<const PreTokenizer> pre_tokenizer;  // may be null: all of the text is one word
  Bpe bpe;                                            // of the other models the vocabulary alone
  std::optional<Unigram> unigram;                     // splits words in its place,
  std::optional<WordPiece> wordpiece;                 // or this does
  AddedTokens added;
  Template post;
  Decoder decoder;
  CutBefore cuts = CutBefore::nothing;  // where a text may be cut (cuts.h)
  bool chat_template = false;           // a file of the folder has one
  std::vector<std::string> notes;       // what the file asks for and is not done
};

// Of a tokenizer.json without what other files put on top of it. All errors are load errors.
Pipeline parse_tokenizer_json(std::string_view json, std::string_view name);

// Of a folder, as AutoTokenizer of transformers takes it: tokenizer.json, or vocab.json and merges.txt, and on top of
// it tokenizer_config.json and its kin (settings.h).
Pipeline load_folder(const std::filesystem::path& folder);

// The steps of load_folder: the parts, with the added tokens of the file; what is known when all is there; and a note
// where added tokens have other ids than `stated`.
Pipeline make_pipeline(TokenizerFile file, std::string_view name);
void close(Pipeline& p, std::string_view name);
void note_other_ids(Pipeline& p, const std::vector<AddedToken>& stated, std::string_view where);

// The model's vocabulary and merges, checked against each other.
void set_vocab_and_merges(Bpe& bpe, Vocab vocab, const MergeList& merges, std::string_view where);

}  // namespace pkv::text
