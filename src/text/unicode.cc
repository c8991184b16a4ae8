#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/utf8.h"

namespace pkv::text {
namespace {

struct CodeRange {
  char32_t first, last;
};

bool within(const auto& ranges, char32_t code) {
  const auto* r = std::upper_bound(std::begin(ranges), std::end(ranges), code,
                                   [](char32_t c, const CodeRange& range) { return c < range.first; });
  return r != std::begin(ranges) && code <= (r - 1)->last;
}

// Numbers of Unicode 15.1 to 17 that utf8proc lacks.
constexpr CodeRange kAddedNumbers[] = {{0x10d40, 0x10d49}, {0x116d0, 0x116e3}, {0x11bf0, 0x11bf9},
                                       {0x11de0, 0x11de9}, {0x16130, 0x16139}, {0x16d70, 0x16d79},
                                       {0x16ff4, 0x16ff6}, {0x1ccf0, 0x1ccf9}, {0x1e5f1, 0x1e5fa}};

// Punctuation to utf8proc, but not yet to the library's tables of Unicode 8.
constexpr CodeRange kLaterPunctuation[] = {
    {0x61d, 0x61d},     {0x9fd, 0x9fd},     {0xa76, 0xa76},     {0xc77, 0xc77},     {0xc84, 0xc84},
    {0x1b7d, 0x1b7e},   {0x2e43, 0x2e4f},   {0x2e52, 0x2e5d},   {0x10ead, 0x10ead}, {0x10f55, 0x10f59},
    {0x10f86, 0x10f89}, {0x1144b, 0x1144f}, {0x1145a, 0x1145b}, {0x1145d, 0x1145d}, {0x11660, 0x1166c},
    {0x116b9, 0x116b9}, {0x1183b, 0x1183b}, {0x11944, 0x11946}, {0x119e2, 0x119e2}, {0x11a3f, 0x11a46},
    {0x11a9a, 0x11a9c}, {0x11a9e, 0x11aa2}, {0x11b00, 0x11b09}, {0x11c41, 0x11c45}, {0x11c70, 0x11c71},
    {0x11ef7, 0x11ef8}, {0x11f43, 0x11f4f}, {0x11fff, 0x11fff}, {0x12ff1, 0x12ff2}, {0x16e97, 0x16e9a},
    {0x16fe2, 0x16fe2}, {0x1e95e, 0x1e95f},
};
// The other way round: punctuation then, symbols now.
constexpr CodeRange kFormerPunctuation[] = {{0x166d, 0x166d}, {0x111c9, 0x111c9}};

// Marks to utf8proc, but not yet to the library's tables.
constexpr CodeRange kLaterMarks[] = {
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},     {0xafa, 0xaff},
    {0xb55, 0xb55},     {0xc04, 0xc04},     {0xc3c, 0xc3c},     {0xcf3, 0xcf3},     {0xd00, 0xd00},
    {0xd3b, 0xd3c},     {0xd81, 0xd81},     {0xeba, 0xeba},     {0xece, 0xece},     {0x1715, 0x1715},
    {0x180f, 0x180f},   {0x1abf, 0x1ace},   {0x1cf7, 0x1cf7},   {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},
    {0xa8ff, 0xa8ff},   {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46, 0x10f50},
    {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x11073, 0x11074}, {0x110c2, 0x110c2}, {0x11145, 0x11146},
    {0x111c9, 0x111c9}, {0x111ce, 0x111cf}, {0x11241, 0x11241}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e},
    {0x1182c, 0x1183a}, {0x11930, 0x11935}, {0x11937, 0x11938}, {0x1193b, 0x1193e}, {0x11940, 0x11940},
    {0x11942, 0x11943}, {0x119d1, 0x119d7}, {0x119da, 0x119e0}, {0x119e4, 0x119e4}, {0x11a01, 0x11a0a},
    {0x11a33, 0x11a39}, {0x11a3b, 0x11a3e}, {0x11a47, 0x11a47}, {0x11a51, 0x11a5b}, {0x11a8a, 0x11a99},
    {0x11d31, 0x11d36}, {0x11d3a, 0x11d3a}, {0x11d3c, 0x11d3d}, {0x11d3f, 0x11d45}, {0x11d47, 0x11d47},
    {0x11d8a, 0x11d8e}, {0x11d90, 0x11d91}, {0x11d93, 0x11d97}, {0x11ef3, 0x11ef6}, {0x11f00, 0x11f01},
    {0x11f03, 0x11f03}, {0x11f34, 0x11f3a}, {0x11f3e, 0x11f42}, {0x13440, 0x13440}, {0x13447, 0x13455},
    {0x16f4f, 0x16f4f}, {0x16f7f, 0x16f87}, {0x16fe4, 0x16fe4}, {0x16ff0, 0x16ff1}, {0x1cf00, 0x1cf2d},
    {0x1cf30, 0x1cf46}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
    {0x1e4ec, 0x1e4ef}};
// The other way round: U+1CF2 and U+1CF3 were marks then.
constexpr char32_t kFirstFormerMark = 0x1cf2, kLastFormerMark = 0x1cf3;

// Marks that take no room to utf8proc, but not yet to the library's tables. Between the ends of a range there is
// nothing that was one then.
constexpr CodeRange kLaterNonspacing[] = {
    {0x7fd, 0x7fd},     {0x898, 0x8e1},     {0x9fe, 0x9fe},     {0xafa, 0xaff},     {0xb55, 0xb55},
    {0xc04, 0xc3c},     {0xd00, 0xd00},     {0xd3b, 0xd3c},     {0xd81, 0xd81},     {0xeba, 0xeba},
    {0xece, 0xece},     {0x180f, 0x1886},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfb},   {0xa82c, 0xa82c},
    {0xa8c5, 0xa8c5},   {0xa8ff, 0xa8ff},   {0xa9bd, 0xa9bd},   {0x10d24, 0x10f85}, {0x11070, 0x11074},
    {0x110c2, 0x110c2}, {0x111c9, 0x111c9}, {0x111cf, 0x111cf}, {0x1123e, 0x11241}, {0x1133b, 0x1133b},
    {0x11438, 0x1145e}, {0x1182f, 0x13455}, {0x16f4f, 0x16f4f}, {0x16fe4, 0x16fe4}, {0x1cf00, 0x1cf46},
    {0x1e000, 0x1e4ef}, {0x1e944, 0x1e94a}};
constexpr char32_t kFormerNonspacing = 0x1734;

// Controls and the like to utf8proc, but not yet to the library's tables.
constexpr CodeRange kLaterOther[] = {{0x890, 0x891}, {0x8e2, 0x8e2}, {0x110cd, 0x110cd}, {0x13430, 0x1343f}};

// Characters with a decomposition, a combining class or a composition that the library's normaliser, which knows
// Unicode 9, leaves alone. To it they are starters that neither decompose nor compose.
constexpr CodeRange kUnknownToNormalizer[] = {
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},     {0xc3c, 0xc3c},
    {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},
    {0x32ff, 0x32ff},   {0xa7f2, 0xa7f4},   {0xa82c, 0xa82c},   {0xab69, 0xab69},   {0x10781, 0x10785},
    {0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff},
    {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e},
    {0x11839, 0x1183a}, {0x11930, 0x11930}, {0x11935, 0x11935}, {0x11938, 0x11938}, {0x1193d, 0x1193e},
    {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99},
    {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1},
    {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
    {0x1e4ec, 0x1e4ef}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9},
};

// Lower case of letters that Unicode 16 and 17 added, beyond utf8proc's tables.
struct Lower {
  char32_t first, last;
  std::int32_t distance;
};
constexpr Lower kAddedLower[] = {
    {0x1c89, 0x1c89, 1},    {0xa7cb, 0xa7cb, -42343}, {0xa7cc, 0xa7cc, 1}, {0xa7ce, 0xa7ce, 1},
    {0xa7d2, 0xa7d2, 1},    {0xa7d4, 0xa7d4, 1},      {0xa7da, 0xa7da, 1}, {0xa7dc, 0xa7dc, -42561},
    {0x10d50, 0x10d65, 32}, {0x16ea0, 0x16eb8, 27},
};

char32_t lower(char32_t code) {
  if (code >= 0x1c89) {
    for (const Lower& l : kAddedLower) {
      if (l.first <= code && code <= l.last) return static_cast<char32_t>(static_cast<std::int32_t>(code) + l.distance);
    }
  }
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

int combining_class(utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; }

// One stretch of text that nothing composes into from outside.
class Stretch {
 public:
  explicit Stretch(Form form)
      : options_(static_cast<utf8proc_option_t>(
            UTF8PROC_STABLE | (form == Form::nfc || form == Form::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
            (form == Form::nfkc || form == Form::nfkd ? UTF8PROC_COMPAT : 0))) {}

  void add(char32_t code) {
    utf8proc_int32_t parts[32];  // the longest decomposition, of U+FDFA, has 18
    int boundary = 0;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts, 32, options_, &boundary);
    codes_.insert(codes_.end(), parts, parts + count);
  }

  void flush(std::string& out) {
    order();
    const auto count = utf8proc_normalize_utf32(codes_.data(), static_cast<utf8proc_ssize_t>(codes_.size()), options_);
    for (utf8proc_ssize_t i = 0; i < count; ++i) append_utf8(out, static_cast<char32_t>(codes_[i]));
    codes_.clear();
  }

 private:
  // utf8proc would order combining marks by swapping neighbours, in quadratic time for a long run of them.
  void order() {
    const auto by_class = [](auto a, auto b) { return combining_class(a) < combining_class(b); };
    const auto is_mark = [](auto c) { return combining_class(c) != 0; };
    auto begin = codes_.begin();
    while (begin != codes_.end()) {
      begin = std::find_if(begin, codes_.end(), is_mark);
      const auto end = std::find_if_not(begin, codes_.end(), is_mark);
      std::stable_sort(begin, end, by_class);
      begin = end;
    }
  }

  utf8proc_option_t options_;
  std::vector<utf8proc_int32_t> codes_;
};

}  // namespace

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_number(char32_t code) {
  if (code < 0x80) return code >= '0' && code <= '9';
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) || within(kAddedNumbers, code);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  const bool now = category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
  return (now && !within(kLaterPunctuation, c)) || within(kFormerPunctuation, c);
}

bool is_mark(char32_t c) {
  if (c < 0x300) return false;
  if (c >= kFirstFormerMark && c <= kLastFormerMark) return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME && !within(kLaterMarks, c);
}

bool is_nonspacing(char32_t c) {
  if (c == kFormerNonspacing) return true;
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_MN && !within(kLaterNonspacing, c);
}

bool is_other(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  const bool now =
      category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
  return now && !within(kLaterOther, c);
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Character c = decode_at(text, at);
    at += c.size;
    if (c.code < 0x80) {
      out += c.code >= 'A' && c.code <= 'Z' ? static_cast<char>(c.code + 32) : static_cast<char>(c.code);
    } else if (c.code == 0x130) {
      out += "i\xcc\x87";  // the only character whose lower case is two
    } else {
      append_utf8(out, lower(c.code));
    }
  }
  return out;
}

// Nothing before an ASCII character, or before one that the normaliser does not know, composes with it: text may be cut
// there. An ASCII character followed by another stays as it is.
std::string normalize(std::string_view text, Form form) {
  std::string out;
  out.reserve(text.size());
  Stretch stretch(form);
  for (std::size_t at = 0; at < text.size();) {
    const Character c = decode_at(text, at);
    at += c.size;
    if (c.code < 0x80) {
      stretch.flush(out);
      const bool alone = at == text.size() || static_cast<unsigned char>(text[at]) < 0x80;
      if (alone) {
        out += static_cast<char>(c.code);
      } else {
        stretch.add(c.code);
      }
    } else if (within(kUnknownToNormalizer, c.code)) {
      stretch.flush(out);
      append_utf8(out, c.code);
    } else {
      stretch.add(c.code);
    }
  }
  stretch.flush(out);
  return out;
}

}  // namespace pkv::text
