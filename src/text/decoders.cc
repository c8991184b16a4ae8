#include "text/decoders.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/metaspace.h"
#include "text/patterns.h"

namespace pkv::text {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr std::size_t kLeastLimit = 16 << 20;  // bytes that Replace may make of a short token

class Passing : public Stage {
 public:
  explicit Passing(Stage& next) : next_(next) {}

 protected:
  Stage& next_;
};

// Collects each token, for stages that need it whole.
class Whole : public Passing {
 public:
  using Passing::Passing;
  void piece(std::string_view text) override { token_ += text; }
  void end() override { token(std::exchange(token_, {})); }
  void finish() override {}

 protected:
  virtual void token(std::string token) = 0;

 private:
  std::string token_;
};

// Characters to bytes, bytes to text. All tokens become one. A token with a character outside the byte alphabet (an
// added one) stands for its own UTF-8.
class ByteLevelStage : public Whole {
 public:
  using Whole::Whole;
  void finish() override {
    std::string text;
    mender_.finish(text);
    next_.piece(text);
    next_.end();
  }

 protected:
  void token(std::string token) override {
    std::string bytes;
    for (std::size_t at = 0; at < token.size();) {
      const Character c = decode_at(token, at);
      const int byte = byte_of(c.code);
      if (byte < 0) {
        bytes = token;
        break;
      }
      bytes += static_cast<char>(byte);
      at += c.size;
    }
    std::string text;
    mender_.push(bytes, text);
    next_.piece(text);
  }

 private:
  Mender mender_;
};

// "<0x41>" is the byte 0x41. A run of such tokens is a token if it is UTF-8, else one U+FFFD a byte; so it has to be
// held back until it ends.
class ByteFallback : public Whole {
 public:
  using Whole::Whole;
  void finish() override { flush(); }

 protected:
  void token(std::string token) override {
    const int byte = byte_named(token);
    if (byte >= 0) {
      run_ += static_cast<char>(byte);
      return;
    }
    flush();
    pass(token);
  }

 private:
  static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  }
  static int byte_named(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    // Rust reads "+F" as a number too.
    if (token[3] == '+') return digit(token[4]);
    if (digit(token[3]) < 0 || digit(token[4]) < 0) return -1;
    return digit(token[3]) * 16 + digit(token[4]);
  }
  void pass(std::string_view token) {
    next_.piece(token);
    next_.end();
  }
  void flush() {
    const std::string run = std::exchange(run_, {});
    if (run.empty()) return;
    if (!first_invalid_utf8(run)) return pass(run);
    for (std::size_t i = 0; i < run.size(); ++i) pass(kReplacement);
  }

  std::string run_;
};

class Fuse : public Passing {
 public:
  using Passing::Passing;
  void piece(std::string_view text) override { next_.piece(text); }
  void end() override {}
  void finish() override { next_.end(); }
};

// Up to `start` times the character at a token's start, up to `stop` times at its end. Where both ends would claim the
// same characters the library breaks off; here the start takes them.
class StripStage : public Passing {
 public:
  StripStage(Stage& next, std::string content, std::int64_t start, std::int64_t stop)
      : Passing(next), content_(std::move(content)), start_(start), stop_(stop), left_(start) {}

  void piece(std::string_view text) override {
    for (std::size_t at = 0; at < text.size();) {
      const std::string_view c = text.substr(at, decode_at(text, at).size);
      at += c.size();
      if (c == content_) {
        if (left_ > 0) {
          --left_;
        } else {
          ++held_;
          if (held_ > stop_) release(held_ - stop_);
        }
      } else {
        left_ = 0;
        release(held_);
        out_ += c;
      }
    }
    next_.piece(out_);
    out_.clear();
  }
  void end() override {
    held_ = 0;
    left_ = start_;
    next_.end();
  }
  void finish() override {}

 private:
  void release(std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) out_ += content_;
    held_ -= count;
  }

  std::string content_, out_;
  std::int64_t start_, stop_;
  std::int64_t left_;      // still to be cut at this token's start
  std::int64_t held_ = 0;  // may turn out to be at its end
};

// Needs whole tokens: behind Fuse or ByteLevel that is the whole text, so a stream gives nothing before its end.
class ReplaceStage : public Whole {
 public:
  ReplaceStage(Stage& next, std::shared_ptr<const Regex> pattern, std::string content)
      : Whole(next), pattern_(std::move(pattern)), content_(std::move(content)) {}

 protected:
  void token(std::string token) override {
    // Of a token; behind Fuse of the whole text, which may be long, but does not grow out of proportion.
    const std::size_t most = std::min(kLongestText, kLeastLimit + 16 * token.size());
    const auto changed = replace_all(*pattern_, token, content_, most);
    if (!changed) {
      fail_usage({.what = "the decoder's Replace makes the text too long",
                  .expected = fmt::format("at most {} bytes", most),
                  .found = fmt::format("more, of a token of {} bytes", token.size())});
    }
    next_.piece(*changed);
    next_.end();
  }

 private:
  std::shared_ptr<const Regex> pattern_;
  std::string content_;
};

// The mark of a space becomes one; in the first token it goes, where words begin with it.
class MetaspaceStage : public Whole {
 public:
  MetaspaceStage(Stage& next, const MetaspaceMark& mark)
      : Whole(next), mark_(mark.replacement), at_start_(mark.prepend == Prepend::never ? " " : "") {}
  void finish() override { first_ = true; }

 protected:
  void token(std::string token) override {
    const std::string_view space = std::exchange(first_, false) ? at_start_ : " ";
    std::string text;
    std::size_t at = 0;
    for (std::size_t end = token.find(mark_); end != token.npos; end = token.find(mark_, at)) {
      text.append(token, at, end - at) += space;
      at = end + mark_.size();
    }
    next_.piece(text.append(token, at));
    next_.end();
  }

 private:
  std::string mark_;
  std::string_view at_start_;
  bool first_ = true;
};

class Spaces : public Passing {
 public:
  using Passing::Passing;
  void piece(std::string_view text) override {
    if (std::exchange(owed_, false)) next_.piece(" ");
    next_.piece(text);
  }
  void end() override {
    if (std::exchange(owed_, false)) next_.piece(" ");  // before a token of no text
    owed_ = true;
  }
  void finish() override {
    owed_ = false;
    next_.end();
  }

 private:
  bool owed_ = false;
};

using Spaced = std::pair<std::string_view, std::string_view>;

// Each text of a list by the other, one after the other.
std::string without_spaces(std::string text, std::span<const Spaced> list) {
  for (const auto& [from, to] : list) {
    for (std::size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size())) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

// Pieces that begin with the prefix go on the word before them, others begin a word.
class WordPieceStage : public Whole {
 public:
  WordPieceStage(Stage& next, std::string prefix, bool cleans_up)
      : Whole(next), prefix_(std::move(prefix)), cleans_up_(cleans_up) {}
  void finish() override { first_ = true; }

 protected:
  void token(std::string token) override {
    const bool first = std::exchange(first_, false);
    if (!first && token.starts_with(prefix_)) {
      token.erase(0, prefix_.size());
    } else if (!first) {
      token.insert(0, 1, ' ');
    }
    next_.piece(cleans_up_ ? without_spaces(std::move(token), kSpaced) : token);
    next_.end();
  }

 private:
  static constexpr Spaced kSpaced[] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                       {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                       {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

  std::string prefix_;
  bool cleans_up_, first_ = true;
};

// clean_up_tokenization_spaces, of the text as a whole. It is passed on up to the last byte that is in none of what is
// looked for, so that nothing that stands there reaches across.
class CleanUp : public Passing {
 public:
  using Passing::Passing;
  void piece(std::string_view text) override {
    held_ += text;
    std::size_t cut = held_.find_last_not_of(" .?!,'ntmsver");
    if (cut == held_.npos) return;
    for (++cut; cut < held_.size() && (static_cast<unsigned char>(held_[cut]) & 0xc0) == 0x80;) ++cut;
    next_.piece(without_spaces(held_.substr(0, cut), kSpaced));
    held_.erase(0, cut);
  }
  void end() override {}
  void finish() override {
    next_.piece(without_spaces(std::exchange(held_, {}), kSpaced));
    next_.end();
  }

 private:
  static constexpr Spaced kSpaced[] = {{" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
                                       {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

  std::string held_;
};

template <class S>
MakeStage simple() {
  return [](Stage& next) -> std::unique_ptr<Stage> { return std::make_unique<S>(next); };
}

MakeStage make_strip(const JsonNode& node) {
  node.only({"type", "content", "start", "stop"});
  const std::string content = node.at("content").text();
  if (!is_one_character(content)) node.at("content").wrong("one character");
  const std::int64_t start = node.at("start").integer(0, INT64_MAX), stop = node.at("stop").integer(0, INT64_MAX);
  return
      [=](Stage& next) -> std::unique_ptr<Stage> { return std::make_unique<StripStage>(next, content, start, stop); };
}

MakeStage make_replace(const JsonNode& node) {
  node.only({"type", "pattern", "content"});
  const auto pattern = std::make_shared<const Regex>(read_pattern(node.at("pattern")));
  const std::string content = node.at("content").text();
  return [=](Stage& next) -> std::unique_ptr<Stage> { return std::make_unique<ReplaceStage>(next, pattern, content); };
}

void add_steps(const JsonNode& node, Decoder& decoder) {
  const std::string type = node.type();
  if (type == "Sequence") {
    node.only({"type", "decoders"});
    for (const JsonNode& n : node.at("decoders").elements()) add_steps(n, decoder);
  } else if (type == "ByteLevel") {
    node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});  // of the pre-tokenizer of that name; unused
    decoder.steps.push_back(simple<ByteLevelStage>());
  } else if (type == "ByteFallback" || type == "Fuse") {
    node.only({"type"});
    decoder.steps.push_back(type == "Fuse" ? simple<Fuse>() : simple<ByteFallback>());
  } else if (type == "Strip") {
    decoder.steps.push_back(make_strip(node));
  } else if (type == "Replace") {
    decoder.steps.push_back(make_replace(node));
  } else if (type == "Metaspace") {
    decoder.steps.push_back([mark = read_metaspace(node)](Stage& next) -> std::unique_ptr<Stage> {
      return std::make_unique<MetaspaceStage>(next, mark);
    });
  } else if (type == "WordPiece") {
    node.only({"type", "prefix", "cleanup"});
    const std::string prefix = node.at("prefix").text();
    const bool cleans_up = node.at("cleanup").flag();
    decoder.steps.push_back([=](Stage& next) -> std::unique_ptr<Stage> {
      return std::make_unique<WordPieceStage>(next, prefix, cleans_up);
    });
  } else {
    node.at("type").refuse("this decoder is not supported",
                           "ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, WordPiece or Sequence");
  }
}

}  // namespace

Decoder make_decoder(const JsonNode& node) {
  Decoder decoder;
  add_steps(node, decoder);
  return decoder;
}

void clean_up(Decoder& decoder) { decoder.steps.push_back(simple<CleanUp>()); }

Decoder joining_with_spaces() { return {{simple<Spaces>()}}; }

class DecodeChain::Collect : public Stage {
 public:
  void piece(std::string_view more) override { text += more; }
  void end() override {}
  void finish() override {}

  std::string text;
};

DecodeChain::DecodeChain(const Decoder& decoder) : collect_(std::make_unique<Collect>()) {
  Stage* next = collect_.get();
  for (auto step = decoder.steps.rbegin(); step != decoder.steps.rend(); ++step) {
    stages_.push_back((*step)(*next));
    next = stages_.back().get();
  }
}

DecodeChain::~DecodeChain() = default;

void DecodeChain::token(std::string_view token) {
  Stage& first = stages_.empty() ? *collect_ : *stages_.back();
  first.piece(token);
  first.end();
}

void DecodeChain::finish() {
  for (auto stage = stages_.rbegin(); stage != stages_.rend(); ++stage) (*stage)->finish();
}

std::string DecodeChain::take() { return std::exchange(collect_->text, {}); }

}  // namespace pkv::text
