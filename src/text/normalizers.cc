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
  bool leaves_cuts() const override { return form_ == Form::nfc; }

 private:
  std::string rewritten(const std::string& text) const override { return normalize(text, form_); }

  Form form_;
};

class Lowercase : public Rewriting {
 public:
  bool leaves_cuts() const override { return true; }

 private:
  std::string rewritten(const std::string& text) const override { return lowercase(text); }
};

class ByteLevelNormalizer : public Rewriting {
 private:
  std::string rewritten(const std::string& text) const override { return spell_bytes(text); }
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
  bool leaves_cuts() const override { return spaces_; }
  std::string_view mark() const override { return spaces_ ? std::string_view(content_) : std::string_view(); }
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
  bool apply(Line& line, std::size_t most) const override {
    if (line.text.empty()) return true;
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
  bool leaves_cuts() const override {
    return std::all_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->leaves_cuts(); });
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
  node.at("type").refuse(
      "this normalizer is not supported",
      "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend, Precompiled, ByteLevel or Sequence");
}

}  // namespace

Line::Line(std::string of, bool at_start) : text(std::move(of)), origin(at_start ? first_size(text) : 0) {}

std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "Replace") return std::make_unique<ReplaceNormalizer>(node);
  if (type == "Prepend") return std::make_unique<PrependNormalizer>(node);
  if (type == "Strip") return std::make_unique<StripNormalizer>(node);
  if (type == "Sequence") return std::make_unique<NormalizerSequence>(node);
  if (type == "Precompiled") return make_charsmap(node);
  auto made = make_plain(node);
  node.only({"type"});
  return made;
}

}  // namespace pkv::text
