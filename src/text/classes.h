// The tokenizer classes of transformers 5.24. Some of them take vocabulary and merges of a tokenizer.json and build the
// rest anew, whatever the file says; so which class AutoTokenizer takes decides ids. The choice, and what each class
// builds, as a tokenizer.json would spell it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/settings.h"

namespace pkv::text {

enum class Frame {  // where the special tokens around a text come from
  kept,             // the post-processor of tokenizer.json; without one, or where settings say so, add_bos and add_eos
  rebuilt,          // add_bos and add_eos alone
  roberta,          // cls_token and sep_token
};

enum class Again { no, without_flags, as_special };  // its named and extra tokens are added once more, in which way

struct TokenizerClass {
  std::string_view name;    // "GPT2Tokenizer"
  std::string_view tokens;  // "bos_token <s> eos_token </s>": those that hold where no file names one
  std::string_view parts;   // a tokenizer.json without vocabulary; empty for one that takes what the file says
  Frame frame = Frame::kept;
  bool reads_merges = false;  // vocab.json and merges.txt will do
  bool reads_pieces = false;  // tokenizer.model will do
  bool reads_words = false;   // vocab.txt will do
  bool adds_bos = false;      // unless settings say otherwise
  bool unk_in_model = false;  // the unk_token is the model's, too
  Again again = Again::no;
};

// The class that AutoTokenizer would take. `byte_level`: tokenizer.json holds the word "ByteLevel". A name in
// `unknown`, if it is not left empty, is that of a class that is not known here; then the file's own parts are taken.
const TokenizerClass& choose_class(const Settings& settings, bool byte_level, std::string& unknown);

// What the class builds with these settings; only for one with parts.
Json parts_of(const TokenizerClass& c, const Settings& settings, std::string_view unk_token);

// Keys of two tokenizer.json files, without vocabulary, that lead to other ids or another text of ids: "normalizer,
// pre_tokenizer". Equal but for the spelling counts as equal.
std::string differences(const Json& a, const Json& b);

}  // namespace pkv::text
