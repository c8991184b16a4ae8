// A tokenizer of a GGUF file's metadata: byte-level BPE ("gpt2", cut into words as `tokenizer.ggml.pre` names it) and
// SentencePiece's pairs by score ("llama", Gemma's too); or the tokenizer.json that a file may carry whole. Special
// tokens are the control tokens, user-defined ones are sought in the text, too. Where llama.cpp's expressions for words
// are another program's in other words, the model's own are taken.
#pragma once

#include <string_view>

#include "files/gguf/gguf.h"
#include "text/pipeline.h"

namespace pkv::text {

// Error::load, naming file and key, for metadata that contradicts itself or asks for what is not supported.
Pipeline load_gguf(const gguf::Metadata& metadata);

// A way of cutting text into words, by one of the names that `tokenizer.ggml.pre` has for it.
struct PreTokenization {
  std::string_view names;            // "llama3 llama-v3", a word each
  std::string_view steps;            // pre-tokenizers as tokenizer.json has them, between commas
  std::string_view normalizer = {};  // likewise; empty: none
  bool whole_words = false;          // a word that is a token is taken whole
  bool adds_bos = false;             // where the file does not say
};
const PreTokenization* find_pre_tokenization(std::string_view name);  // null when nobody knows it
std::string known_pre_tokenizations();                                // all names, for a message

}  // namespace pkv::text
