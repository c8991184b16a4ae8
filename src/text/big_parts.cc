#include "text/big_parts.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/utf8.h"

namespace pkv::text {
namespace {

constexpr std::size_t kLongestPlainToken = 1 << 16;
constexpr std::int32_t kMostPlainTokens = 1 << 22;

// The part of the text from `begin` on that ends before `end`, which `instead` stands for.
struct Cut {
  std::size_t begin, end;
  std::string_view instead;
};

// Every method returns false where the text is not what it reads; then the scan is over.
class Scan {
 public:
  Scan(std::string_view text, TokenizerFile& file) : text_(text), file_(file) {}

  bool document(std::string& rest) {
    if (!object([&](std::string_view key) { return key == "model" && !model_ ? model() : skip(); })) return false;
    space();
    if (at_ != text_.size() || cuts_.empty()) return false;
    std::size_t from = 0;
    for (const Cut& cut : cuts_) {
      rest.append(text_, from, cut.begin - from);
      rest += cut.instead;
      from = cut.end;
    }
    rest.append(text_, from);
    return true;
  }

 private:
  bool model() {
    model_ = true;
    space();
    if (at_ == text_.size() || text_[at_] != '{') return skip();
    return object([&](std::string_view key) {
      space();
      const std::size_t begin = at_;
      bool* const seen = key == "vocab" ? &vocab_ : key == "merges" ? &merges_ : nullptr;
      if (seen == nullptr) return skip();
      if (*seen) return false;
      *seen = true;
      if (!(seen == &vocab_ ? vocab() : merges())) return false;
      cuts_.push_back({begin, at_, seen == &vocab_ ? "{}" : "[]"});
      return true;
    });
  }

  bool vocab() {
    file_.vocab.reserve_bytes(text_.size());
    return object([&](std::string_view token) {
      std::int64_t id = 0;
      if (file_.vocab.size() == kMostPlainTokens || first_invalid_utf8(token) || !number(id)) return false;
      return file_.vocab.add(token, static_cast<std::int32_t>(id));
    });
  }

  // Halves that are not UTF-8 are no tokens, which is found out later.
  bool merges() {
    file_.merges.reserve_bytes(text_.size());
    return list([&] {
      if (text_[at_] == '[') {
        std::array<std::string_view, 2> halves;
        std::size_t count = 0;
        const auto half = [&] {
          if (count == halves.size() || !string(halves[count], scratch_[count])) return false;
          ++count;
          return true;
        };
        return list(half) && count == 2 && file_.merges.add(halves[0], halves[1]);
      }
      std::string_view both;
      if (!string(both, scratch_[0]) || both.starts_with('#')) return false;
      const std::size_t blank = both.find(' ');
      if (blank == both.npos || both.find(' ', blank + 1) != both.npos) return false;
      return file_.merges.add(both.substr(0, blank), both.substr(blank + 1));
    });
  }

  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }
  bool take(char c) {
    space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  // Items between the brackets with commas between; `item` begins at something that is no space.
  template <class Item>
  bool items(char open, char close, Item item) {
    if (!take(open)) return false;
    if (take(close)) return true;
    do {
      space();
      if (at_ == text_.size() || !item()) return false;
    } while (take(','));
    return take(close);
  }
  template <class Item>
  bool list(Item item) {
    return items('[', ']', item);
  }
  template <class Member>
  bool object(Member member) {
    std::string key_scratch;
    return items('{', '}', [&] {
      std::string_view key;
      return string(key, key_scratch) && take(':') && member(key);
    });
  }

  bool number(std::int64_t& value) {
    space();
    const std::size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9' && value <= INT32_MAX; ++at_) {
      value = 10 * value + (text_[at_] - '0');
    }
    const bool plain = at_ > begin && (text_[begin] != '0' || at_ == begin + 1);
    return plain && value <= INT32_MAX;
  }

  // A view of the text, or of `scratch` where something is escaped.
  bool string(std::string_view& value, std::string& scratch) {
    if (!take('"')) return false;
    const std::size_t begin = at_, most = std::min(text_.size(), begin + kLongestPlainToken);
    bool escaped = false;
    for (; at_ < most && text_[at_] != '"'; ++at_) {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      if (text_[at_] == '\\') escaped = true, ++at_;
    }
    if (at_ >= most) return false;
    value = text_.substr(begin, at_++ - begin);
    if (!escaped) return true;
    scratch.clear();
    if (!unescape(value, scratch)) return false;
    value = scratch;
    return true;
  }

  static bool unescape(std::string_view text, std::string& to) {
    constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] != '\\') {
        to += text[at];
        continue;
      }
      const char letter = text[++at];
      if (const std::size_t found = letters.find(letter); found != letters.npos) {
        to += meanings[found];
        continue;
      }
      char32_t code = 0;
      if (letter != 'u' || !hex(text.substr(at + 1), code)) return false;
      at += 4;
      if (code >= 0xd800 && code < 0xe000) {  // half of a character
        char32_t low = 0;
        if (code >= 0xdc00 || !text.substr(at + 1).starts_with("\\u") || !hex(text.substr(at + 3), low)) return false;
        if (low < 0xdc00 || low >= 0xe000) return false;
        code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
        at += 6;
      }
      append_utf8(to, code);
    }
    return true;
  }

  static bool hex(std::string_view digits, char32_t& code) {
    constexpr std::string_view all = "0123456789abcdef";
    if (digits.size() < 4) return false;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t value =
          all.find(static_cast<char>(digits[i] >= 'A' && digits[i] <= 'F' ? digits[i] + 32 : digits[i]));
      if (value == all.npos) return false;
      code = code << 4 | static_cast<char32_t>(value);
    }
    return true;
  }

  // Any value, which the other reader reads.
  bool skip() {
    space();
    std::size_t depth = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) at_ += text_[at_] == '\\' ? 1 : 0;
        if (at_ >= text_.size()) return false;
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if (c == '}' || c == ']') {
        if (depth == 0) return true;
        --depth;
      } else if (c == ',' && depth == 0) {
        return true;
      }
    }
    return false;
  }

  std::string_view text_;
  TokenizerFile& file_;
  std::size_t at_ = 0;
  bool model_ = false, vocab_ = false, merges_ = false;
  std::vector<Cut> cuts_;  // in the order of the text
  std::array<std::string, 2> scratch_;
};

}  // namespace

std::optional<std::string> take_big_parts(std::string_view json, TokenizerFile& file) {
  std::string rest;
  if (!Scan(json, file).document(rest)) return std::nullopt;
  return rest;
}

}  // namespace pkv::text
