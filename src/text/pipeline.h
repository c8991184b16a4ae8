// A tokenizer's parts, as loaded; read-only afterwards, so that threads may share it. load.cc makes one of a
// tokenizer.json, load_vocab_and_merges.cc one of the older files, and text.cc runs text and ids through it: added
// tokens, normaliser, added tokens again, pre-tokeniser, BPE, post-processor; and back through the decoder.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoders.h"
#include "text/normalizers.h"
#include "text/postprocessors.h"
#include "text/pretokenizers.h"

namespace pkv::text {

class MergeList;

struct Pipeline {
  std::unique_ptr<const Normalizer> normalizer;       // may be null
  std::unique_ptr<const PreTokenizer> pre_tokenizer;  // may be null: all of the text is one word
  Bpe bpe;
  AddedTokens added;
  Template post;
  Decoder decoder;
  std::vector<std::string> notes;  // what the file asks for and is not done
};

// Gives added tokens their ids and forms as the library does: the id of the same token in the vocabulary, or the next
// free one. The ids that the file states must be the same.
void set_added_tokens(Pipeline& pipeline, std::vector<AddedToken> tokens, std::string_view where);

Pipeline parse_tokenizer_json(std::string_view json, std::string_view name);
Pipeline load_tokenizer_json(const std::filesystem::path& file);
Pipeline load_vocab_and_merges(const std::filesystem::path& folder);

// The model's vocabulary and merges, checked against each other.
void set_vocab_and_merges(Bpe& bpe, Vocab vocab, const MergeList& merges, std::string_view where);

}  // namespace pkv::text
