// Tokenizers: text to ids and back, as AutoTokenizer of transformers 5.24 does it for BPE: of bytes (GPT-2, RoBERTa,
// GPT-NeoX, Falcon, Llama 3, Qwen and their kin), of pieces with byte fallback (Llama 2, Mistral, Gemma), for Unigram
// in a tokenizer.json (T5, XLM-RoBERTa, CamemBERT) and for WordPiece (BERT). Load a folder, then encode and decode;
// Stream decodes one id at a time. Every method is const and may be called from several threads at once. Truncation and
// padding, even if tokenizer.json asks for them, are never applied: they are the caller's affair, as in transformers.
// What is not supported is refused on load.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::text {

struct Pipeline;
class DecodeChain;

class Tokenizer {
 public:
  // Reads tokenizer.json, or where there is none tekken.json, vocab.json and merges.txt, tokenizer.model or vocab.txt,
  // and applies on top of it what tokenizer_config.json and its kin say, as transformers does. Error::load, naming file
  // and key, when they are missing, damaged or ask for what is not supported.
  static Tokenizer load(const std::filesystem::path& folder);

  // Of the text of a tokenizer.json alone, as the `tokenizers` library reads it; `file_name` is only named in errors.
  static Tokenizer parse(std::string_view json, std::string_view file_name = "tokenizer.json");

  // Ids of `text`. `add_special_tokens` applies the post-processor (<s> ... </s>); special tokens spelled out in the
  // text are recognised either way. Error::usage with the offset when `text` is not UTF-8.
  std::vector<std::int32_t> encode(std::string_view text, bool add_special_tokens = true) const;

  // Text of `ids`. Ids outside the vocabulary give nothing. Bytes that form no UTF-8 become U+FFFD.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = false) const;

  // A token as the vocabulary spells it ("Ġthe"). Error::usage when there is no such id.
  std::string token(std::int32_t id) const;
  std::optional<std::int32_t> id(std::string_view token) const;
  // For a user to know: what the files ask for and is not done (truncation, padding), and where the ids are others than
  // tokenizer.json alone would give.
  std::span<const std::string> notes() const;

  bool has_chat_template() const;   // which makes a text of messages; it is not applied here
  std::int64_t vocab_size() const;  // number of tokens, added ones included
  bool has(std::int32_t id) const;  // there is a token with that id
  bool is_special(std::int32_t id) const;

  class Stream;
  class Reader;

 private:
  explicit Tokenizer(std::shared_ptr<const Pipeline> pipeline);

  std::shared_ptr<const Pipeline> pipeline_;
};

// Decodes a growing sequence. What push() returned so far plus finish() equals decode() of all ids, and no piece ends
// inside a character. A piece is empty while the text still depends on ids to come. For one thread at a time; it may
// outlive the tokenizer.
class Tokenizer::Stream {
 public:
  explicit Stream(const Tokenizer& tokenizer, bool skip_special_tokens = false);
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  std::string push(std::int32_t id);
  std::string finish();  // the rest; afterwards the stream is as new

 private:
  std::shared_ptr<const Pipeline> pipeline_;
  std::unique_ptr<DecodeChain> chain_;
  bool skip_special_tokens_;
};

// Encodes a text that comes in parts, of any size and cut anywhere. What push() returned so far plus finish() equals
// encode() of the whole, and what is held back is bounded by the longest stretch of text without white space, for
// tokenizers of which that could be proved (`streams`); of others all text is held until finish(). For one thread.
class Tokenizer::Reader {
 public:
  explicit Reader(const Tokenizer& tokenizer, bool add_special_tokens = true);

  bool streams() const;
  std::vector<std::int32_t> push(std::string_view part);
  std::vector<std::int32_t> finish();  // the rest; afterwards the reader is as new

 private:
  std::vector<std::int32_t> take(std::size_t size);

  std::shared_ptr<const Pipeline> pipeline_;
  bool add_special_tokens_;
  std::string held_;
  std::size_t seen_ = 0;      // of held_: there is no cut before this
  std::size_t consumed_ = 0;  // bytes of the text before held_
  bool begun_ = false;
  bool goes_on_ = false;  // what was taken last did not end in an added token
};

}  // namespace pkv::text
