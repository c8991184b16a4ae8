#include "text/normalizers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/charsmap.h"
#include "text/patterns.h"
#include "text/unicode.h"

namespace pkv::text {
namespace {

std::size_t first_size(std::string_view text) { return text.empty() ? 0 : decode_at(text, 0).size; }

// One that makes a text of a text, character by character; it gets longer by a small factor at most.
class Rewriting : public Normalizer {
 public:
  bool apply(Line& line, std::size_t most) const override {
    const std::size_t first = rewritten(line.text.substr(0, line.origin)).size();
    line.text = rewritten(line.text);
    line.origin = std::min(first, line.text.size());
    return line.text.size() <= most;
  }

 private:
  virtual std::string rewritten(const std::string& text) const = 0;
};

class UnicodeForm : public Rewriting {
 public:
  explicit UnicodeForm(Form form) : form_(form) {}
  // NFKC makes spaces of other characters, and decomposing has not been looked into.
  CutBefore leaves_cuts() const override { return form_ == Form::nfc ? CutBefore::white_space : CutBefore::nothing; }

 private:
  std::string rewritten(const std::string& text) const override { return normalize(text, form_); }

  Form form_;
};

class Lowercase : public Rewriting {
 public:
  CutBefore leaves_cuts() const override { return CutBefore::white_space; }

 private:
  std::string rewritten(const std::string& text) const override { return lowercase(text); }
};

class ByteLevelNormalizer : public Rewriting {
 private:
  std::string rewritten(const std::string& text) const override { return spell_bytes(text); }
};

// Of BERT: controls go, white space becomes spaces, ideographs stand alone, accents go, capitals become small, each if
// asked for.
class BertNormalizer : public Rewriting {
 public:
  explicit BertNormalizer(const JsonNode& node)
      : clean_(node.at("clean_text").flag()),
        apart_(node.at("handle_chinese_chars").flag()),
        small_(node.at("lowercase").flag()),
        bare_(node.has("strip_accents") ? node.at("strip_accents").flag() : small_) {
    node.only({"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
  }
  // Some white space is a control, and goes without leaving a space.
  CutBefore leaves_cuts() const override { return CutBefore::space; }

 private:
  static bool is_ideograph(char32_t c) {
    return (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0x2f800 && c <= 0x2fa1f);
  }
  std::string rewritten(const std::string& text) const override {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const Character c = decode_at(text, at);
      const bool ends_word = c.code == '\t' || c.code == '\n' || c.code == '\r';
      const std::string_view own = std::string_view(text).substr(at, c.size);
      at += c.size;
      if (clean_ && !ends_word && (c.code == 0 || c.code == 0xfffd || is_other(c.code))) continue;
      if (clean_ && is_white_space(c.code)) {
        out += ' ';
      } else if (apart_ && is_ideograph(c.code)) {
        (((out += ' ') += own) += ' ');
      } else {
        out += own;
      }
    }
    if (bare_) out = without_accents(normalize(out, Form::nfd));
    return small_ ? lowercase(out) : out;
  }
  static std::string without_accents(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const Character c = decode_at(text, at);
      if (!is_nonspacing(c.code)) out.append(text, at, c.size);
      at += c.size;
    }
    return out;
  }

  bool clean_, apart_, small_, bare_;
};

class StripAccents : public Normalizer {
 public:
  bool apply(Line& line, std::size_t) const override {
    std::string kept;
    std::size_t origin = 0;
    for (std::size_t at = 0; at < line.text.size();) {
      const Character c = decode_at(line.text, at);
      if (!is_mark(c.code)) kept.append(line.text, at, c.size);
      if (at < line.origin) origin = kept.size();
      at += c.size;
    }
    line.origin = origin;
    line.text = std::move(kept);
    return true;
  }
};

class StripNormalizer : public Normalizer {
 public:
  explicit StripNormalizer(const JsonNode& node)
      : left_(node.at("strip_left").flag()), right_(node.at("strip_right").flag()) {
    node.only({"type", "strip_left", "strip_right"});
  }
  bool apply(Line& line, std::size_t) const override {
    const std::string_view text = line.text;
    std::size_t begin = 0, end = text.size();
    for (Character c{}; left_ && begin < end && is_white_space((c = decode_at(text, begin)).code);) begin += c.size;
    for (std::size_t last = 0; right_ && begin < end; end = last) {
      last = previous_boundary(text, end);
      if (!is_white_space(decode_at(text, last).code)) break;
    }
    line.origin -= std::min(line.origin, begin);
    line.text = std::string(text.substr(begin, end - begin));
    return true;
  }

 private:
  bool left_, right_;
};

class ReplaceNormalizer : public Normalizer {
 public:
  explicit ReplaceNormalizer(const JsonNode& node)
      : pattern_(read_pattern(node.at("pattern"))), content_(node.at("content").text()) {
    node.only({"type", "pattern", "content"});
    spaces_ = node.at("pattern").has("String") && node.at("pattern").at("String").text() == " " && !content_.empty();
  }
  CutBefore leaves_cuts() const override { return spaces_ ? CutBefore::white_space : CutBefore::nothing; }
  std::string_view mark() const override { return spaces_ ? std::string_view(content_) : std::string_view(); }
  bool keeps_spaces() const override { return !spaces_; }
  bool apply(Line& line, std::size_t most) const override {
    if (line.from_start()) line.origin = origin_after(line);
    auto changed = replace_all(pattern_, line.text, content_, most);
    if (changed) line.text = *std::move(changed);
    return changed.has_value();
  }

 private:
  // What is put in stands where the last character stood that it replaces.
  std::size_t origin_after(const Line& line) const {
    Regex::Matcher matcher(pattern_);
    matcher.start(line.text);
    const auto first = matcher.next();
    if (!first || first->begin >= line.origin) return line.origin;
    if (first->begin > 0) return first->begin;
    if (first->end == 0) return content_.size() + line.origin;
    const std::size_t left = line.origin - std::min(line.origin, first->end);
    return previous_boundary(line.text, first->end) < line.origin ? content_.size() + left : 0;
  }

  Regex pattern_;
  std::string content_;
  bool spaces_;  // are what is replaced
};

class PrependNormalizer : public Normalizer {
 public:
  explicit PrependNormalizer(const JsonNode& node) : prefix_(node.at("prepend").text()) {
    node.only({"type", "prepend"});
  }
  CutBefore leaves_cuts() const override { return CutBefore::white_space; }
  std::string_view puts_before() const override { return prefix_; }
  bool apply(Line& line, std::size_t most) const override {
    if (line.text.empty() || line.goes_on) return true;
    line.text.insert(0, prefix_);
    if (line.from_start()) line.origin += prefix_.size();
    return line.text.size() <= most;
  }

 private:
  std::string prefix_;
};

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(const JsonNode& node) {
    node.only({"type", "normalizers"});
    for (const JsonNode& n : node.at("normalizers").elements()) steps_.push_back(make_normalizer(n));
  }
  bool apply(Line& line, std::size_t most) const override {
    return std::all_of(steps_.begin(), steps_.end(), [&](const auto& step) { return step->apply(line, most); });
  }
  CutBefore leaves_cuts() const override {
    CutBefore least = CutBefore::white_space;
    for (const auto& step : steps_) least = std::min(least, step->leaves_cuts());
    return least;
  }
  bool keeps_spaces() const override {
    return std::all_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->keeps_spaces(); });
  }
  // Of the last step, where those before put the same in front and do nothing else.
  std::string_view mark() const override {
    const std::string_view mark = steps_.empty() ? std::string_view() : steps_.back()->mark();
    const auto puts_it = [&](const auto& step) { return step->puts_before() == mark; };
    return std::all_of(steps_.begin(), std::prev(steps_.end(), steps_.empty() ? 0 : 1), puts_it) ? mark
                                                                                                 : std::string_view();
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> steps_;
};

std::unique_ptr<const Normalizer> make_plain(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  if (type == "NFC") return std::make_unique<UnicodeForm>(Form::nfc);
  if (type == "NFD") return std::make_unique<UnicodeForm>(Form::nfd);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(Form::nfkc);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(Form::nfkd);
  node.at("type").refuse("this normalizer is not supported",
                         "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, BertNormalizer, Replace, Prepend, "
                         "Precompiled, ByteLevel or "
                         "Sequence");
}

}  // namespace

Line::Line(std::string of, bool at_start, bool cut)
    : text(std::move(of)), goes_on(cut), origin(at_start ? first_size(text) : 0) {}

std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "Replace") return std::make_unique<ReplaceNormalizer>(node);
  if (type == "Prepend") return std::make_unique<PrependNormalizer>(node);
  if (type == "Strip") return std::make_unique<StripNormalizer>(node);
  if (type == "Sequence") return std::make_unique<NormalizerSequence>(node);
  if (type == "Precompiled") return make_charsmap(node);
  if (type == "BertNormalizer") return std::make_unique<BertNormalizer>(node);
  auto made = make_plain(node);
  node.only({"type"});
  return made;
}

}  // namespace pkv::text
