#include "text/json.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "text/node.h"

namespace pkv::text {
namespace {

using nlohmann::json;

constexpr std::size_t kDeepest = 64;
// Outside vocabulary and merges, where a value takes some hundred bytes; and outside the added tokens too, where a few
// values may describe a pattern that compiles to many thousand.
constexpr std::size_t kMostValues = 1 << 20, kMostSettings = 1 << 12;
constexpr std::size_t kMostTokens = 1 << 22;     // sixteen times the largest vocabulary in use
constexpr std::size_t kLongestString = 1 << 20;  // nlohmann's lexer holds the one under way in several copies

// What the file holds where.
enum class Layout { plain, tokenizer, vocab };

class Reader : public nlohmann::json_sax<json> {
 public:
  Reader(Layout layout, std::size_t size, std::string_view name, TokenizerFile& out)
      : layout_(layout), size_(size), name_(name), out_(out) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(std::int64_t v) override { return value(v); }
  bool number_float(double v, const std::string&) override { return value(v); }
  bool binary(json::binary_t&) override { return value(nullptr); }  // JSON text has none
  bool number_unsigned(std::uint64_t v) override {
    if (sink_ == Sink::vocab) return add_token(v);
    return value(v);
  }
  bool string(std::string& v) override {
    if (sink_ == Sink::merges) return add_merge(v);
    if (sink_ == Sink::pair) return add_half(v);
    return value(v);
  }
  bool start_object(std::size_t) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool key(std::string& k) override;
  bool parse_error(std::size_t position, const std::string& last, const json::exception& e) override;

 private:
  enum class Sink { none, vocab, merges, pair };

  [[noreturn]] void fail(std::string_view where, std::string what, std::string expected = {}, std::string found = {}) {
    fail_load({.what = std::move(what),
               .where = fmt::format("{}{}{}", name_, where.empty() ? "" : ": ", where),
               .expected = std::move(expected),
               .found = std::move(found)});
  }
  std::string path() const;
  bool value(json v);
  json* place(json v);
  bool add_token(std::uint64_t id);
  bool add_merge(std::string_view text);
  bool keep_merge(std::string_view left, std::string_view right);
  bool add_half(const std::string& text);
  void open(json v);
  bool at_model(std::string_view wanted) const {
    return layout_ == Layout::tokenizer && stack_.size() == 2 && keys_[0] == "model" && keys_[1] == wanted;
  }

  Layout layout_;
  std::size_t size_;  // of the text
  std::string_view name_;
  TokenizerFile& out_;
  std::vector<json*> stack_;       // open containers, outermost first
  std::vector<std::string> keys_;  // the current key of each
  std::size_t values_ = 0, settings_ = 0;
  Sink sink_ = Sink::none;
  std::string token_;              // key under way in the vocabulary
  std::vector<std::string> pair_;  // halves of the merge under way
};

std::string Reader::path() const {
  std::string s;
  for (std::size_t i = 0; i < stack_.size(); ++i) {
    if (stack_[i]->is_array()) {
      s += fmt::format("[{}]", stack_[i]->size());
    } else {
      s += (s.empty() ? "" : ".") + path_step(keys_[i]);
    }
  }
  return s;
}

json* Reader::place(json v) {
  const bool setting = layout_ == Layout::tokenizer && !(stack_.size() > 1 && keys_[0] == "added_tokens");
  if (++values_ > kMostValues) fail(path(), "too many values", fmt::format("at most {}", kMostValues));
  if (setting && ++settings_ > kMostSettings) {
    fail(path(), "too many values outside model.vocab, model.merges and added_tokens",
         fmt::format("at most {}", kMostSettings));
  }
  if (stack_.empty()) {
    out_.rest = std::move(v);
    return &out_.rest;
  }
  json& parent = *stack_.back();
  if (parent.is_array()) {
    parent.push_back(std::move(v));
    return &parent.back();
  }
  return &(parent[keys_.back()] = std::move(v));
}

bool Reader::value(json v) {
  if (sink_ == Sink::vocab) fail("model.vocab " + quote(token_), "is not an id", "a number from 0 up", shown(v));
  if (sink_ != Sink::none) {
    fail(fmt::format("model.merges[{}]", out_.merges.size()), "is not a merge", "\"a b\" or [\"a\", \"b\"]", shown(v));
  }
  if (at_model("vocab")) fail("model.vocab", "is not a vocabulary", "an object of tokens and ids", shown(v));
  if (at_model("merges")) fail("model.merges", "is not a list of merges", "an array", shown(v));
  place(std::move(v));
  return true;
}

void Reader::open(json v) {
  if (sink_ != Sink::none) value(std::move(v));  // fails
  if (stack_.size() >= kDeepest) fail(path(), "is nested too deeply", fmt::format("at most {} levels", kDeepest));
  json* container = place(std::move(v));
  stack_.push_back(container);
  keys_.emplace_back();
}

bool Reader::start_object(std::size_t) {
  if (sink_ == Sink::none && (at_model("vocab") || (layout_ == Layout::vocab && stack_.empty()))) {
    sink_ = Sink::vocab;
    out_.has_vocab = true;
    out_.vocab.reserve_bytes(size_);
    return true;
  }
  if (sink_ == Sink::none && at_model("merges")) value(json::object());  // fails
  open(json::object());
  return true;
}

bool Reader::end_object() {
  if (sink_ == Sink::vocab) {
    sink_ = Sink::none;
    return true;
  }
  stack_.pop_back();
  keys_.pop_back();
  return true;
}

bool Reader::start_array(std::size_t) {
  if (sink_ == Sink::none && at_model("merges")) {
    sink_ = Sink::merges;
    out_.has_merges = true;
    out_.merges.reserve_bytes(size_);
    return true;
  }
  if (sink_ == Sink::merges) {
    sink_ = Sink::pair;
    pair_.clear();
    return true;
  }
  if (sink_ == Sink::none && at_model("vocab")) value(json::array());  // fails
  open(json::array());
  return true;
}

bool Reader::end_array() {
  if (sink_ == Sink::pair) {
    if (pair_.size() != 2) value(json::array());  // fails
    sink_ = Sink::merges;
    return keep_merge(pair_[0], pair_[1]);
  }
  if (sink_ == Sink::merges) {
    sink_ = Sink::none;
    return true;
  }
  stack_.pop_back();
  keys_.pop_back();
  return true;
}

bool Reader::key(std::string& k) {
  if (sink_ == Sink::vocab) {
    token_ = k;
    return true;
  }
  keys_.back() = k;
  const bool model_part = at_model("vocab") || at_model("merges");
  const bool twice = stack_.back()->contains(k) || (model_part && (k == "vocab" ? out_.has_vocab : out_.has_merges));
  if (twice) fail(path(), "is there twice");
  return true;
}

bool Reader::add_token(std::uint64_t id) {
  const auto where = [&] { return "model.vocab " + quote(token_); };
  if (id > INT32_MAX)
    fail(where(), "the id is out of range", fmt::format("at most {}", INT32_MAX), fmt::format("{}", id));
  if (out_.vocab.size() == kMostTokens) fail("model.vocab", "too many tokens", fmt::format("at most {}", kMostTokens));
  if (!out_.vocab.add(token_, static_cast<std::int32_t>(id))) fail(where(), "is there twice");
  return true;
}

bool Reader::add_merge(std::string_view text) {
  const std::size_t space = text.find(' ');
  // Versions of the library before 0.20 put the version line of merges.txt into the list.
  if (text.starts_with("#version")) return true;
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    return value(json(std::string(text)));  // fails
  }
  return keep_merge(text.substr(0, space), text.substr(space + 1));
}

bool Reader::keep_merge(std::string_view left, std::string_view right) {
  if (!out_.merges.add(left, right))
    fail("model.merges", "too many merges", fmt::format("at most {}", MergeList::kMost));
  return true;
}

bool Reader::add_half(const std::string& text) {
  if (pair_.size() == 2) return value(json(text));  // fails
  pair_.push_back(text);
  return true;
}

bool Reader::parse_error(std::size_t position, const std::string&, const json::exception& e) {
  std::string message = e.what();
  const std::size_t from = message.find("parse error");  // behind nlohmann's own prefix
  message = message.substr(from == std::string::npos ? 0 : from, 200);
  for (char& c : message) {  // bytes of UTF-8 too, which the cut may have parted
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  fail("", fmt::format("is not JSON: {} (byte {})", message, position));
}

// Before anything is parsed: the lexer would collect a string of any length.
void check_strings(std::string_view text, std::string_view name) {
  bool inside = false;
  std::size_t from = 0;
  for (std::size_t at = text.find('"'); at != text.npos; at = text.find_first_of("\"\\", at + 1)) {
    if (text[at] == '\\') {
      ++at;  // whatever is escaped, a quote too
      continue;
    }
    if (inside && at - from > kLongestString) break;
    inside = !inside;
    from = at;
  }
  if (inside && text.size() - from > kLongestString) {
    fail_load({.what = "a string is too long",
               .where = fmt::format("{}: byte {}", name, from),
               .expected = fmt::format("at most {} bytes", kLongestString)});
  }
}

void read(Layout layout, std::string_view text, std::string_view name, TokenizerFile& out) {
  // nlohmann takes a NUL for the end of the text, and would accept whatever follows it.
  if (const auto nul = text.find('\0'); nul != text.npos) {
    fail_load({.what = "is not JSON: a NUL byte", .where = fmt::format("{}: byte {}", name, nul)});
  }
  check_strings(text, name);
  Reader reader(layout, text.size(), name, out);
  json::sax_parse(text.begin(), text.end(), &reader);
}

}  // namespace

bool MergeList::add(std::string_view left, std::string_view right) {
  if (items_.size() == kMost) return false;
  items_.push_back({static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(left.size()),
                    static_cast<std::uint32_t>(right.size())});
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
  read(Layout::tokenizer, text, name, file);
  return file;
}

void read_vocab_json(std::string_view text, std::string_view name, Vocab& vocab) {
  TokenizerFile file;
  read(Layout::vocab, text, name, file);
  if (!file.has_vocab) fail_load({.what = "is not a vocabulary", .where = std::string(name), .expected = "an object"});
  vocab = std::move(file.vocab);
}

json read_json(std::string_view text, std::string_view name) {
  TokenizerFile file;
  read(Layout::plain, text, name, file);
  return std::move(file.rest);
}

}  // namespace pkv::text
