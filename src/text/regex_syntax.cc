#include "text/regex_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json_node.h"
#include "base/utf8.h"
#include "text/properties.h"

namespace pkv::text {
namespace {

constexpr int kMostNesting = 100;
constexpr std::size_t kLongestPattern = 1 << 14;

// What one character may be: PCRE2 class items ("a-z\p{L}"), and whole expressions for what no item can say.
struct Set {
  std::string items;
  std::vector<std::string> expressions;
};

std::string hex(char32_t code) { return fmt::format("\\x{{{:x}}}", static_cast<std::uint32_t>(code)); }

// An expression that matches one character of the set.
std::string matching(const Set& set) {
  if (set.expressions.empty()) return fmt::format("[{}]", set.items);
  std::string s = "(?:";
  if (!set.items.empty()) s += fmt::format("[{}]|", set.items);
  for (const std::string& e : set.expressions) s += e + "|";
  s.back() = ')';
  return s;
}

std::string not_matching(const Set& set) {
  if (set.expressions.empty()) return fmt::format("[^{}]", set.items);
  return fmt::format("(?:(?!{})(?s:.))", matching(set));
}

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view where, bool exact)
      : in_(pattern), where_(where), exact_(exact) {}

  std::string all() {
    alternatives();
    if (more()) refuse("unmatched )");
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail_load({.what = fmt::format("regular expression: {} at offset {} is not supported", what, at_),
               .where = std::string(where_),
               .found = quote(in_)});
  }
  bool more() const { return at_ < in_.size(); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool take(std::string_view text) {
    if (!in_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t take_code() {
    if (!more()) refuse("end of the pattern");
    const Character c = decode_at(in_, at_);
    at_ += c.size;
    return c.code;
  }

  void alternatives();
  void piece();
  void group();
  void options();
  void lookaround_or_group(std::string_view opening);
  void quantifiers(std::size_t atom);
  std::string interval();
  void escape();
  bool escape_of_position(char c);
  void back_reference(char c);
  std::string name_until(char end);
  std::optional<Set> escaped_set(bool in_class);
  Set property(bool negated, bool in_class);
  std::optional<char32_t> escaped_code(bool in_class);
  char32_t code_of_digits(std::size_t least, std::size_t most, int base);
  std::string bracket();
  Set class_operand();
  void class_item(Set& set);
  bool posix_class(Set& set);
  Set named(const Property& property, bool negated) const;
  std::string items(const Property& p) const { return p.items + (exact_ ? p.added : ""); }
  std::string word() const { return fmt::format("[{}]", items(perl_class('w', false))); }

  std::string_view in_, where_;
  bool exact_;
  std::size_t at_ = 0;
  std::string out_;
  int nesting_ = 0;
  bool caseless_ = false;
};

Set Translator::named(const Property& p, bool negated) const {
  if (caseless_ && p.cased) refuse("a class of upper or lower case under (?i)");
  if (!negated) return {items(p), {}};
  return {"", {fmt::format("[^{}]", items(p))}};
}

void Translator::alternatives() {
  if (++nesting_ > kMostNesting) refuse("a group nested that deep");
  while (more() && peek() != ')') piece();
  --nesting_;
}

void Translator::piece() {
  const std::size_t atom = out_.size();
  const char c = peek();
  if (c == '|') {
    ++at_;
    out_ += '|';
    return;
  }
  if (c == '(') {
    group();
  } else if (c == '[') {
    ++at_;
    out_ += bracket();
  } else if (c == '\\') {
    escape();
  } else if (c == '.' || c == '^' || c == '$') {
    ++at_;
    out_ += c;
  } else if (c == '*' || c == '+' || c == '?') {
    refuse("a repetition of nothing");
  } else {
    const char32_t code = take_code();
    std::string s;
    append_utf8(s, code);
    out_ += escape_regex(s);
  }
  quantifiers(atom);
}

// "a{2,3}+" repeats the repetition in Ruby and is possessive in PCRE2; "a{2}?" makes it optional in Ruby and lazy in
// PCRE2. So a quantifier on a quantified expression wraps it first.
void Translator::quantifiers(std::size_t atom) {
  bool quantified = false;
  while (more()) {
    std::string q;
    bool exact_count = false;
    const char c = peek();
    if (c == '*' || c == '+' || c == '?') {
      ++at_;
      q = c;
      if (peek() == '?' || peek() == '+') q += in_[at_++];
    } else if (c == '{') {
      q = interval();
      if (q.empty()) return;
      exact_count = q.find(',') == std::string::npos;
      if (!exact_count && peek() == '?') q += in_[at_++];
    } else {
      return;
    }
    if (quantified) {
      out_.insert(atom, "(?:");
      out_ += ')';
    }
    out_ += q;
    quantified = true;
  }
}

// "{2,3}" in PCRE2's spelling, or nothing when the brace is an ordinary character.
std::string Translator::interval() {
  std::size_t i = at_ + 1;
  const auto digits = [&] {
    const std::size_t begin = i;
    while (i < in_.size() && in_[i] >= '0' && in_[i] <= '9') ++i;
    return std::string(in_.substr(begin, i - begin));
  };
  const std::string low = digits();
  std::string high;
  const bool comma = i < in_.size() && in_[i] == ',';
  if (comma) ++i, high = digits();
  if (i >= in_.size() || in_[i] != '}' || (low.empty() && high.empty())) return "";
  if (low.size() > 5 || high.size() > 5) refuse("a repetition that often");
  if (!low.empty() && !high.empty() && std::stoi(low) > std::stoi(high)) refuse("an interval that runs backwards");
  at_ = i + 1;
  if (!comma) return fmt::format("{{{}}}", low);
  return fmt::format("{{{},{}}}", low.empty() ? "0" : low, high);
}

void Translator::group() {
  static constexpr std::string_view kPlain[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
  for (const std::string_view opening : kPlain) {
    if (take(opening)) return lookaround_or_group(opening);
  }
  if (take("(?#")) {
    while (more() && peek() != ')') ++at_;
    if (!take(")")) refuse("a comment without end");
    return;
  }
  if (take("(?<")) {
    const std::string name = name_until('>');
    return lookaround_or_group(fmt::format("(?<{}>", name));
  }
  if (peek(1) == '?') return options();
  if (peek(1) == '*') refuse("(*...)");
  ++at_;
  lookaround_or_group("(");
}

void Translator::lookaround_or_group(std::string_view opening) {
  const bool caseless = caseless_;
  out_ += opening;
  alternatives();
  if (!take(")")) refuse("a group without end");
  out_ += ')';
  caseless_ = caseless;
}

// (?im-x) reaches to the end of the enclosing group, over its alternatives: a(?i)b|c is a(?i:b|c). Ruby's m is PCRE2's
// s.
void Translator::options() {
  at_ += 2;
  const bool caseless = caseless_;
  std::string flags = "(?";
  bool on = true;
  while (more() && peek() != ':' && peek() != ')') {
    const char c = peek();
    if (c == 'i') {
      caseless_ = on;
      flags += 'i';
    } else if (c == 'm') {
      flags += 's';
    } else if (c == '-' && on) {
      on = false;
      flags += '-';
    } else {
      refuse(fmt::format("group (?{}", c));
    }
    ++at_;
  }
  const bool rest = peek() == ')';
  if (!more()) refuse("a group without end");
  ++at_;
  out_ += flags + ":";
  alternatives();
  if (!rest && !take(")")) refuse("a group without end");
  out_ += ')';
  caseless_ = caseless;
}

void Translator::escape() {
  const char c = peek(1);
  if (escape_of_position(c)) return;
  if (c == 'R') {
    at_ += 2;
    out_ += "(?>\\r\\n|[\\x{a}-\\x{d}\\x{85}\\x{2028}\\x{2029}])";
    return;
  }
  if (c == 'N' || c == 'O') {
    at_ += 2;
    out_ += c == 'N' ? "[^\\n]" : "(?s:.)";
    return;
  }
  if (c == 'k' || (c >= '1' && c <= '9')) return back_reference(c);
  if (const auto set = escaped_set(false)) {
    out_ += matching(*set);
    return;
  }
  std::string s;
  append_utf8(s, *escaped_code(false));
  out_ += escape_regex(s);
}

bool Translator::escape_of_position(char c) {
  switch (c) {
    case 'A':
    case 'Z':
    case 'z':
      out_ += {'\\', c};
      break;
    case 'b':
      out_ += fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", word());
      break;
    case 'B':
      out_ += fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", word());
      break;
    default:
      return false;
  }
  at_ += 2;
  return true;
}

void Translator::back_reference(char c) {
  at_ += 2;
  if (c != 'k') {
    if (peek() >= '0' && peek() <= '9') refuse("a back reference above 9");
    out_ += fmt::format("\\g{{{}}}", c);
    return;
  }
  if (!take("<")) refuse("\\k without <name>");
  out_ += fmt::format("\\k<{}>", name_until('>'));
}

std::string Translator::name_until(char end) {
  std::string name;
  while (more() && peek() != end) name += in_[at_++];
  const bool letters = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
  if (!more() || name.empty() || name.size() > 32 || !letters || (name[0] >= '0' && name[0] <= '9')) {
    refuse("such a group name");
  }
  ++at_;
  return name;
}

// \d \s \w \h and \p{...}, in or outside brackets. Nothing when the escape is something else.
std::optional<Set> Translator::escaped_set(bool in_class) {
  const char c = peek(1);
  if (c == 'p' || c == 'P') {
    at_ += 2;
    return property(c == 'P', in_class);
  }
  const bool negated = c >= 'A' && c <= 'Z';
  const char letter = negated ? static_cast<char>(c - 'A' + 'a') : c;
  if (std::string_view("dswh").find(letter) == std::string_view::npos) return std::nullopt;
  at_ += 2;
  return named(perl_class(letter, in_class), negated);
}

Set Translator::property(bool negated, bool in_class) {
  if (!take("{")) refuse("\\p without {name}");
  if (take("^")) negated = !negated;
  const std::size_t end = in_.find('}', at_);
  if (end == std::string_view::npos) refuse("\\p{ without }");
  const std::string_view name = in_.substr(at_, end - at_);
  const auto found = find_property(name);
  if (!found) refuse(fmt::format("\\p{{{}}}", name));
  at_ = end + 1;
  const bool word = found->items == find_posix_class("word")->items;
  return named(word ? perl_class('w', in_class) : *found, negated);
}

std::optional<char32_t> Translator::escaped_code(bool in_class) {
  ++at_;
  if (!more()) refuse("a \\ at the end");
  const char32_t c = take_code();
  switch (c) {
    case 't':
      return U'\t';
    case 'n':
      return U'\n';
    case 'r':
      return U'\r';
    case 'f':
      return U'\f';
    case 'v':
      return U'\v';
    case 'a':
      return U'\a';
    case 'e':
      return char32_t{0x1b};
    case 'b':
      if (in_class) return U'\b';
      break;
    case '0':
      return code_of_digits(0, 2, 8);
    case 'u':
      return code_of_digits(4, 4, 16);
    case 'x': {
      if (take("{")) {
        const char32_t code = code_of_digits(1, 8, 16);
        if (!take("}")) refuse("\\x{ without }");
        return code;
      }
      const char32_t code = code_of_digits(1, 2, 16);
      if (code >= 0x80) refuse("\\x of a single byte above 7f");
      return code;
    }
    default:
      break;
  }
  const bool letter_or_digit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  if (letter_or_digit) refuse(fmt::format("\\{}", static_cast<char>(c)));
  return c;
}

char32_t Translator::code_of_digits(std::size_t least, std::size_t most, int base) {
  char32_t code = 0;
  std::size_t count = 0;
  for (; count < most; ++count, ++at_) {
    const char c = peek();
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : 99;
    if (digit >= base) break;
    code = code * static_cast<char32_t>(base) + static_cast<char32_t>(digit);
  }
  if (count < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) refuse("such a character number");
  return code;
}

// Behind an opening bracket. "&&" intersects what stands on both sides.
std::string Translator::bracket() {
  if (++nesting_ > kMostNesting) refuse("a class nested that deep");
  const bool negated = take("^");
  std::vector<Set> operands{class_operand()};
  while (take("&&")) operands.push_back(class_operand());
  if (!take("]")) refuse("a class without end");
  --nesting_;
  if (operands.size() == 1) return negated ? not_matching(operands[0]) : matching(operands[0]);
  std::string all = "(?:";
  for (std::size_t i = 0; i + 1 < operands.size(); ++i) all += fmt::format("(?={})", matching(operands[i]));
  all += matching(operands.back()) + ")";
  return negated ? fmt::format("(?:(?!{})(?s:.))", all) : all;
}

Set Translator::class_operand() {
  Set set;
  if (peek() == ']') refuse("an empty class");
  while (more() && peek() != ']' && !in_.substr(at_).starts_with("&&")) class_item(set);
  if (set.items.empty() && set.expressions.empty()) refuse("an empty class");
  return set;
}

void Translator::class_item(Set& set) {
  if (peek() == '[') {
    if (posix_class(set)) return;
    ++at_;
    set.expressions.push_back(bracket());
    return;
  }
  if (peek() == '\\') {
    if (auto s = escaped_set(true)) {
      set.items += s->items;
      std::move(s->expressions.begin(), s->expressions.end(), std::back_inserter(set.expressions));
      return;
    }
  }
  const char32_t first = peek() == '\\' ? *escaped_code(true) : take_code();
  set.items += hex(first);
  if (peek() != '-' || peek(1) == ']' || peek(1) == '\0') return;
  ++at_;
  const bool a_class =
      peek() == '[' || (peek() == '\\' && std::string_view("dDsSwWhHpP").find(peek(1)) != std::string_view::npos);
  if (a_class || in_.substr(at_).starts_with("&&")) refuse("a range that ends in a class");
  const char32_t last = peek() == '\\' ? *escaped_code(true) : take_code();
  if (last < first) refuse("a range that runs backwards");
  set.items += '-';
  set.items += hex(last);
}

bool Translator::posix_class(Set& set) {
  if (peek(1) != ':') return false;
  const std::size_t end = in_.find(":]", at_ + 2);
  if (end == std::string_view::npos) return false;
  const bool negated = peek(2) == '^';
  const std::size_t begin = at_ + (negated ? 3 : 2);
  const std::string_view name = end >= begin ? in_.substr(begin, end - begin) : "";
  const auto found = find_posix_class(name);
  if (!found) refuse(fmt::format("[:{}:]", name));
  const Set s = named(*found, negated);
  set.items += s.items;
  set.expressions.insert(set.expressions.end(), s.expressions.begin(), s.expressions.end());
  at_ = end + 2;
  return true;
}

}  // namespace

Translated translate_regex(std::string_view pattern, std::string_view where) {
  if (pattern.size() > kLongestPattern) {
    fail_load({.what = "regular expression: too long",
               .where = std::string(where),
               .expected = fmt::format("at most {} bytes", kLongestPattern),
               .found = fmt::format("{} bytes", pattern.size())});
  }
  return {Translator(pattern, where, false).all(), Translator(pattern, where, true).all()};
}

std::string escape_regex(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto b = static_cast<unsigned char>(c);
    const bool plain =
        b >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("\\x{{{:x}}}", b);
    }
  }
  return out;
}

}  // namespace pkv::text
