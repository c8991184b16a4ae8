#include "text/json.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "base/json_events.h"
#include "text/big_parts.h"

namespace pkv::text {
namespace {

constexpr std::size_t kDeepest = 64;
// Outside vocabulary and merges, where a value takes some hundred bytes; and outside the added tokens too, where a few
// values may describe a pattern that compiles to many thousand.
constexpr std::size_t kMostValues = 1 << 20, kMostSettings = 1 << 12;
constexpr std::size_t kMostTokens = 1 << 22;     // sixteen times the largest vocabulary in use
constexpr std::size_t kLongestString = 1 << 20;  // the lexer holds the one under way in several copies

// What the file holds where.
enum class Layout { plain, tokenizer, vocab };

// Builds what is small, and takes the vocabulary and the merges for itself.
class Reader : public JsonBuilder {
 public:
  Reader(Layout layout, std::string_view text, std::string_view name, TokenizerFile& out)
      : JsonBuilder(text, name, kDeepest), layout_(layout), out_(out) {}

  bool null() override { return check(nullptr) && JsonBuilder::null(); }
  bool boolean(bool v) override { return check(v) && JsonBuilder::boolean(v); }
  bool number_integer(std::int64_t v) override {
    if (sink_ == Sink::piece) return add_score(static_cast<double>(v));
    return check(v) && JsonBuilder::number_integer(v);
  }
  bool number_float(double v, const std::string& s) override {
    if (sink_ == Sink::piece) return add_score(v);
    return check(v) && JsonBuilder::number_float(v, s);
  }
  bool number_unsigned(std::uint64_t v) override {
    if (sink_ == Sink::piece) return add_score(static_cast<double>(v));
    if (sink_ == Sink::vocab) return add_token(v);
    return check(v) && JsonBuilder::number_unsigned(v);
  }
  bool string(std::string& v) override {
    if (sink_ == Sink::merges) return add_merge(v);
    if (sink_ == Sink::pair) return add_half(v);
    if (sink_ == Sink::piece) return add_piece(v);
    return check_text(v) && JsonBuilder::string(v);
  }
  bool start_object() override;
  bool end_object() override;
  bool start_array() override;
  bool end_array() override;
  bool key(std::string& k) override;

 private:
  enum class Sink { none, vocab, merges, pair, scored, piece };

  [[noreturn]] void fail(std::string_view where, std::string what, std::string expected = {}, std::string found = {}) {
    fail_load({.what = std::move(what),
               .where = fmt::format("{}{}{}", file_, where.empty() ? "" : ": ", where),
               .expected = std::move(expected),
               .found = std::move(found)});
  }
  void count() override;
  bool expects_anything() const { return sink_ == Sink::none && !at_model("vocab") && !at_model("merges"); }
  // True where any value may stand; fails where it is none of the vocabulary's or the merges'.
  bool check(const Json& v) { return expects_anything() || refuse_value(v); }
  bool check_text(const std::string& v) { return expects_anything() || refuse_value(v); }
  [[noreturn]] bool refuse_value(const Json& v);
  bool add_token(std::uint64_t id);
  bool add_merge(std::string_view text);
  bool keep_merge(std::string_view left, std::string_view right);
  bool add_half(const std::string& text);
  // ["piece", score], by id.
  bool add_piece(const std::string& text);
  bool add_score(double score);
  bool at_model(std::string_view wanted) const {
    return layout_ == Layout::tokenizer && depth() == 2 && key_at(0) == "model" && key_at(1) == wanted;
  }

  Layout layout_;
  TokenizerFile& out_;
  std::size_t values_ = 0, settings_ = 0;
  Sink sink_ = Sink::none;
  std::string token_;              // key under way in the vocabulary
  std::vector<std::string> pair_;  // halves of the merge under way
  bool has_piece_ = false;         // of the entry of a scored vocabulary under way
};

void Reader::count() {
  const bool setting = layout_ == Layout::tokenizer && !(depth() > 1 && key_at(0) == "added_tokens");
  if (++values_ > kMostValues) fail(path(), "too many values", fmt::format("at most {}", kMostValues));
  if (setting && ++settings_ > kMostSettings) {
    fail(path(), "too many values outside model.vocab, model.merges and added_tokens",
         fmt::format("at most {}", kMostSettings));
  }
}

bool Reader::refuse_value(const Json& v) {
  const std::string found = short_json(v);
  if (sink_ == Sink::vocab) fail("model.vocab " + quote(token_), "is not an id", "a number from 0 up", found);
  if (sink_ == Sink::scored || sink_ == Sink::piece) {
    const bool has_both = has_piece_ && static_cast<std::size_t>(out_.vocab.size()) == out_.scores.size();
    const std::size_t at = out_.scores.size() - (sink_ == Sink::piece && has_both ? 1 : 0);
    fail(fmt::format("model.vocab[{}]", at), "is not a piece with its score", "[\"a\", -1.5]", found);
  }
  if (sink_ != Sink::none) {
    fail(fmt::format("model.merges[{}]", out_.merges.size()), "is not a merge", "\"a b\" or [\"a\", \"b\"]", found);
  }
  if (at_model("vocab")) fail("model.vocab", "is not a vocabulary", "an object of tokens and ids", found);
  fail("model.merges", "is not a list of merges", "an array", found);
}

bool Reader::start_object() {
  if (sink_ == Sink::none && (at_model("vocab") || (layout_ == Layout::vocab && depth() == 0))) {
    sink_ = Sink::vocab;
    out_.has_vocab = true;
    out_.vocab.reserve_bytes(text_.size());
    return true;
  }
  return check(Json::Object()) && JsonBuilder::start_object();
}

bool Reader::end_object() {
  if (sink_ != Sink::vocab) return JsonBuilder::end_object();
  sink_ = Sink::none;
  return true;
}

bool Reader::start_array() {
  if (sink_ == Sink::none && at_model("vocab")) {
    sink_ = Sink::scored;
    out_.has_vocab = out_.vocab_is_list = true;
    return true;
  }
  if (sink_ == Sink::scored) {
    sink_ = Sink::piece;
    has_piece_ = false;
    return true;
  }
  if (sink_ == Sink::none && at_model("merges")) {
    sink_ = Sink::merges;
    out_.has_merges = true;
    out_.merges.reserve_bytes(text_.size());
    return true;
  }
  if (sink_ == Sink::merges) {
    sink_ = Sink::pair;
    pair_.clear();
    return true;
  }
  return check(Json::Array()) && JsonBuilder::start_array();
}

bool Reader::end_array() {
  if (sink_ == Sink::piece) {
    if (!has_piece_ || static_cast<std::size_t>(out_.vocab.size()) != out_.scores.size()) refuse_value(Json::Array());
    sink_ = Sink::scored;
    return true;
  }
  if (sink_ == Sink::pair) {
    if (pair_.size() != 2) refuse_value(Json::Array());
    sink_ = Sink::merges;
    return keep_merge(pair_[0], pair_[1]);
  }
  if (sink_ == Sink::none) return JsonBuilder::end_array();
  sink_ = Sink::none;
  return true;
}

bool Reader::key(std::string& k) {
  if (sink_ == Sink::vocab) {
    token_ = k;
    return true;
  }
  JsonBuilder::key(k);
  if ((at_model("vocab") && out_.has_vocab) || (at_model("merges") && out_.has_merges)) fail_key_twice(where());
  return true;
}

bool Reader::add_token(std::uint64_t id) {
  const auto where = [&] { return "model.vocab " + quote(token_); };
  if (id > INT32_MAX)
    fail(where(), "the id is out of range", fmt::format("at most {}", INT32_MAX), fmt::format("{}", id));
  if (out_.vocab.size() == kMostTokens) fail("model.vocab", "too many tokens", fmt::format("at most {}", kMostTokens));
  if (!out_.vocab.add(token_, static_cast<std::int32_t>(id))) fail_key_twice(fmt::format("{}: {}", file_, where()));
  return true;
}

bool Reader::add_merge(std::string_view text) {
  const std::size_t space = text.find(' ');
  // Versions of the library before 0.20 put the version line of merges.txt into the list.
  if (text.starts_with("#version")) return true;
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) refuse_value(text);
  return keep_merge(text.substr(0, space), text.substr(space + 1));
}

bool Reader::keep_merge(std::string_view left, std::string_view right) {
  if (!out_.merges.add(left, right))
    fail("model.merges", "too many merges", fmt::format("at most {}", MergeList::kMost));
  return true;
}

bool Reader::add_half(const std::string& text) {
  if (pair_.size() == 2) refuse_value(text);
  pair_.push_back(text);
  return true;
}

bool Reader::add_piece(const std::string& text) {
  if (has_piece_) refuse_value(text);
  has_piece_ = true;
  const auto id = static_cast<std::int32_t>(out_.scores.size());
  if (out_.scores.size() == kMostTokens) fail("model.vocab", "too many tokens", fmt::format("at most {}", kMostTokens));
  if (!out_.vocab.add(text, id)) fail(fmt::format("model.vocab[{}]", id), "this piece is there twice", {}, quote(text));
  return true;
}

bool Reader::add_score(double score) {
  if (!has_piece_ || static_cast<std::size_t>(out_.vocab.size()) == out_.scores.size()) refuse_value(score);
  out_.scores.push_back(score);
  return true;
}

// Before anything is parsed: the lexer would collect a string of any length.
void check_strings(std::string_view text, std::string_view name) {
  bool inside = false;
  std::size_t from = 0;
  for (std::size_t at = text.find('"'); at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;  // whatever is escaped, a quote too
    } else if (text[at] == '"') {
      if (inside && at - from > kLongestString) break;
      inside = !inside;
      from = at;
    }
  }
  if (inside && text.size() - from > kLongestString) {
    fail_load({.what = "a string is too long",
               .where = fmt::format("{}: byte {}", name, from),
               .expected = fmt::format("at most {} bytes", kLongestString)});
  }
}

void read(Layout layout, std::string_view text, std::string_view name, TokenizerFile& out) {
  check_strings(text, name);
  Reader reader(layout, text, name, out);
  reader.read();
  out.rest = reader.take();
}

}  // namespace

bool MergeList::add(std::string_view left, std::string_view right) {
  return add(left, right, static_cast<std::uint32_t>(items_.size()));
}

bool MergeList::add(std::string_view left, std::string_view right, std::uint32_t rank) {
  if (items_.size() == kMost || left.size() + right.size() > UINT32_MAX - bytes_.size()) return false;
  items_.push_back({static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(left.size()),
                    static_cast<std::uint32_t>(right.size()), rank});
  bytes_ += left;
  bytes_ += right;
  return true;
}

std::string_view MergeList::left(std::size_t i) const {
  return std::string_view(bytes_).substr(items_[i].begin, items_[i].left);
}

std::string_view MergeList::right(std::size_t i) const {
  return std::string_view(bytes_).substr(items_[i].begin + items_[i].left, items_[i].right);
}

TokenizerFile read_tokenizer_json(std::string_view text, std::string_view name) {
  TokenizerFile file;
  if (const auto rest = take_big_parts(text, file)) {
    try {
      read(Layout::tokenizer, *rest, name, file);
      return file;
    } catch (const Error&) {  // said again below, with the places of the whole text
    }
  }
  file = {};
  read(Layout::tokenizer, text, name, file);
  return file;
}

void read_vocab_json(std::string_view text, std::string_view name, Vocab& vocab) {
  TokenizerFile file;
  read(Layout::vocab, text, name, file);
  if (!file.has_vocab) fail_load({.what = "is not a vocabulary", .where = std::string(name), .expected = "an object"});
  vocab = std::move(file.vocab);
}

Json read_json(std::string_view text, std::string_view name) {
  TokenizerFile file;
  read(Layout::plain, text, name, file);
  return std::move(file.rest);
}

}  // namespace pkv::text
