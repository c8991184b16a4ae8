#include "text/normalizers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "text/patterns.h"
#include "text/unicode.h"

namespace pkv::text {
namespace {

// A text gets longer by a small factor at most.
std::optional<std::string> within(std::string text, std::size_t most) {
  if (text.size() > most) return std::nullopt;
  return text;
}

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(Form form) : form_(form) {}
  std::optional<std::string> apply(std::string text, std::size_t most) const override {
    return within(normalize(text, form_), most);
  }
  // NFKC makes spaces of other characters.
  bool leaves_cuts() const override { return form_ == Form::nfc; }

 private:
  Form form_;
};

class Lowercase : public Normalizer {
 public:
  std::optional<std::string> apply(std::string text, std::size_t most) const override {
    return within(lowercase(text), most);
  }
  bool leaves_cuts() const override { return true; }
};

class Replace : public Normalizer {
 public:
  explicit Replace(const JsonNode& node)
      : pattern_(read_pattern(node.at("pattern"))), content_(node.at("content").text()) {
    node.only({"type", "pattern", "content"});
  }
  std::optional<std::string> apply(std::string text, std::size_t most) const override {
    return replace_all(pattern_, text, content_, most);
  }

 private:
  Regex pattern_;
  std::string content_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(const JsonNode& node) : prefix_(node.at("prepend").text()) { node.only({"type", "prepend"}); }
  std::optional<std::string> apply(std::string text, std::size_t most) const override {
    return within(text.empty() ? text : prefix_ + text, most);
  }

 private:
  std::string prefix_;
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(const JsonNode& node) {
    node.only({"type", "normalizers"});
    for (const JsonNode& n : node.at("normalizers").elements()) steps_.push_back(make_normalizer(n));
  }
  std::optional<std::string> apply(std::string text, std::size_t most) const override {
    std::optional<std::string> changed = std::move(text);
    for (auto step = steps_.begin(); changed && step != steps_.end(); ++step) {
      changed = (*step)->apply(*std::move(changed), most);
    }
    return changed;
  }
  bool leaves_cuts() const override {
    return std::all_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->leaves_cuts(); });
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> steps_;
};

}  // namespace

std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "Replace") return std::make_unique<Replace>(node);
  if (type == "Prepend") return std::make_unique<Prepend>(node);
  if (type == "Sequence") return std::make_unique<Sequence>(node);
  const bool known = type == "NFC" || type == "NFKC" || type == "Lowercase";
  if (!known)
    node.at("type").refuse("this normalizer is not supported", "NFC, NFKC, Lowercase, Replace, Prepend or Sequence");
  node.only({"type"});
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  return std::make_unique<UnicodeForm>(type == "NFC" ? Form::nfc : Form::nfkc);
}

}  // namespace pkv::text
