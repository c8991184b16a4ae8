#include "text/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "text/cuts.h"
#include "text/gguf/gguf.h"
#include "text/patterns.h"
#include "text/pipeline.h"

namespace pkv::text {
namespace {

[[noreturn]] void fail_too_long(std::string_view what, std::string found) {
  fail_usage({.what = fmt::format("{} is too long", what),
              .expected = fmt::format("at most {} bytes", kLongestText),
              .found = std::move(found)});
}

void check_size(std::string_view text, std::string_view what) {
  if (text.size() > kLongestText) fail_too_long(what, fmt::format("{} bytes", text.size()));
}

// `before`: bytes of the text that came before.
void check(std::string_view text, std::size_t before = 0) {
  check_size(text, "the text");
  if (const auto at = first_invalid_utf8(text)) {
    fail_usage({.what = "the text is not UTF-8",
                .where = fmt::format("offset {}", before + *at),
                .found = fmt::format("byte 0x{:02X}", static_cast<unsigned char>(text[*at]))});
  }
}

// One text on its way through a pipeline.
class Encoding {
 public:
  // `from_start`: no other text came before. `goes_on`: some did, and it did not end in an added token.
  Encoding(const Pipeline& pipeline, std::string_view text, bool from_start = true, bool goes_on = false)
      : p_(pipeline), bpe_(pipeline.bpe, text.size()) {
    for (const Section& s : p_.added.split(text, false)) {
      ends_in_token_ = s.token != nullptr;
      if (s.token != nullptr) {
        ids_.push_back(s.token->id);
      } else {
        raw(text.substr(s.begin, s.end - s.begin), from_start && s.begin == 0, goes_on && s.begin == 0);
      }
    }
  }

  bool ends_in_token() const { return ends_in_token_; }

  std::vector<std::int32_t> take() { return std::move(ids_); }

 private:
  void raw(std::string_view text, bool from_start, bool goes_on) {
    Line line(std::string(text), from_start, goes_on);
    if (p_.normalizer && !p_.normalizer->apply(line, kLongestText)) fail_too_long("the normalised text", "more");
    for (const Section& s : p_.added.split(line.text, true)) {
      if (s.token != nullptr) {
        ids_.push_back(s.token->id);
      } else {
        words(line.text.substr(s.begin, s.end - s.begin), line.origin - std::min(line.origin, s.begin));
      }
    }
  }

  void words(std::string text, std::size_t origin) {
    if (text.empty()) return;
    const std::size_t size = text.size();
    Words words{std::move(text), {{0, size}}, origin};
    if (p_.pre_tokenizer) p_.pre_tokenizer->apply(words);
    for (std::size_t i = 0; i < words.spans.size(); ++i) {
      if (p_.unigram) {
        p_.unigram->encode(p_.bpe.vocab, words[i], ids_);
      } else if (p_.wordpiece) {
        p_.wordpiece->encode(p_.bpe.vocab, words[i], ids_);
      } else {
        bpe_.encode(words[i], ids_);
      }
    }
  }

  const Pipeline& p_;
  BpeEncoder bpe_;
  std::vector<std::int32_t> ids_;
  bool ends_in_token_ = true;
};

// What decoding makes of an id; nothing for ids that do not exist and for special ones that are skipped.
std::optional<std::string_view> form_of(const Pipeline& p, std::int32_t id, bool skip_special_tokens) {
  if (const AddedToken* t = p.added.find(id)) {
    if (skip_special_tokens && t->skipped) return std::nullopt;
    return t->form;
  }
  return p.bpe.vocab.token(id);
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Pipeline> pipeline) : pipeline_(std::move(pipeline)) {}

Tokenizer Tokenizer::load(const std::filesystem::path& folder) {
  if (gguf::is_gguf_file(folder)) {
    return Tokenizer(std::make_shared<const Pipeline>(load_gguf(gguf::Model::open(folder).metadata())));
  }
  return Tokenizer(std::make_shared<const Pipeline>(load_folder(folder)));
}

Tokenizer Tokenizer::parse(std::string_view json, std::string_view file_name) {
  return Tokenizer(std::make_shared<const Pipeline>(parse_tokenizer_json(json, file_name)));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  check(text);
  return apply_template(pipeline_->post, Encoding(*pipeline_, text).take(), add_special_tokens);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  DecodeChain chain(pipeline_->decoder);
  for (const std::int32_t id : ids) {
    if (const auto form = form_of(*pipeline_, id, skip_special_tokens)) chain.token(*form);
  }
  chain.finish();
  return chain.take();
}

std::string Tokenizer::token(std::int32_t id) const {
  if (const AddedToken* t = pipeline_->added.find(id)) return t->content;
  const auto token = pipeline_->bpe.vocab.token(id);
  if (!token) fail_usage({.what = fmt::format("there is no token with the id {}", id)});
  return std::string(*token);
}

std::optional<std::int32_t> Tokenizer::id(std::string_view token) const {
  if (const AddedToken* t = pipeline_->added.find(token)) return t->id;
  return pipeline_->bpe.vocab.id(token);
}

std::span<const std::string> Tokenizer::notes() const { return pipeline_->notes; }

bool Tokenizer::has_chat_template() const { return pipeline_->chat_template; }

std::int64_t Tokenizer::vocab_size() const {
  std::int64_t size = pipeline_->bpe.vocab.size();
  for (const AddedToken& t : pipeline_->added.all()) size += pipeline_->bpe.vocab.id(t.content) ? 0 : 1;
  return size;
}

bool Tokenizer::has(std::int32_t id) const {
  return pipeline_->added.find(id) != nullptr || pipeline_->bpe.vocab.token(id).has_value();
}

bool Tokenizer::is_special(std::int32_t id) const {
  const AddedToken* t = pipeline_->added.find(id);
  return t != nullptr && t->special;
}

Tokenizer::Stream::Stream(const Tokenizer& tokenizer, bool skip_special_tokens)
    : pipeline_(tokenizer.pipeline_),
      chain_(std::make_unique<DecodeChain>(pipeline_->decoder)),
      skip_special_tokens_(skip_special_tokens) {}

Tokenizer::Stream::~Stream() = default;
Tokenizer::Stream::Stream(Stream&&) noexcept = default;
Tokenizer::Stream& Tokenizer::Stream::operator=(Stream&&) noexcept = default;

std::string Tokenizer::Stream::push(std::int32_t id) {
  if (const auto form = form_of(*pipeline_, id, skip_special_tokens_)) chain_->token(*form);
  return chain_->take();
}

std::string Tokenizer::Stream::finish() {
  chain_->finish();
  return chain_->take();
}

Tokenizer::Reader::Reader(const Tokenizer& tokenizer, bool add_special_tokens)
    : pipeline_(tokenizer.pipeline_), add_special_tokens_(add_special_tokens) {}

bool Tokenizer::Reader::streams() const { return pipeline_->cuts != CutBefore::nothing; }

std::vector<std::int32_t> Tokenizer::Reader::push(std::string_view part) {
  held_ += part;
  check_size(held_, streams() ? "the stretch without white space" : "the text");
  const std::size_t cut = last_cut(held_, seen_, pipeline_->cuts);
  seen_ = held_.empty() ? 0 : held_.size() - 1;
  return cut == 0 ? std::vector<std::int32_t>() : take(cut);
}

// The special tokens before the text go with its first part, those behind it come from finish().
std::vector<std::int32_t> Tokenizer::Reader::take(std::size_t size) {
  const std::string_view text = std::string_view(held_).substr(0, size);
  check(text, consumed_);
  std::vector<std::int32_t> ids;
  if (!begun_ && add_special_tokens_) ids = special_tokens_before(pipeline_->post);
  begun_ = true;
  Encoding encoding(*pipeline_, text, consumed_ == 0, goes_on_);
  if (!text.empty()) goes_on_ = !encoding.ends_in_token();
  const auto own = encoding.take();
  ids.insert(ids.end(), own.begin(), own.end());
  consumed_ += size;
  held_.erase(0, size);
  seen_ = held_.empty() ? 0 : held_.size() - 1;
  return ids;
}

std::vector<std::int32_t> Tokenizer::Reader::finish() {
  std::vector<std::int32_t> ids;
  if (streams()) {
    ids = take(held_.size());
    if (add_special_tokens_) {
      const auto last = special_tokens_after(pipeline_->post);
      ids.insert(ids.end(), last.begin(), last.end());
    }
  } else {
    check(held_);
    ids = apply_template(pipeline_->post, Encoding(*pipeline_, held_).take(), add_special_tokens_);
  }
  held_.clear();
  seen_ = consumed_ = 0;
  begun_ = goes_on_ = false;
  return ids;
}

}  // namespace pkv::text
