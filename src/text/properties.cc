#include "text/properties.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <vector>

#include "base/utf8.h"

namespace pkv::text {
namespace {

struct Range {
  char32_t first, last;
};

struct Added {
  char32_t first, last;
  std::string_view category;
};

// Assigned in Unicode 15, 15.1 and 16, with their categories.
constexpr Added kAdded[] = {
    {0x897, 0x897, "Mn"},     {0xcf3, 0xcf3, "Mc"},     {0xece, 0xece, "Mn"},     {0x1b4e, 0x1b4f, "Po"},
    {0x1b7f, 0x1b7f, "Po"},   {0x1c89, 0x1c89, "Lu"},   {0x1c8a, 0x1c8a, "Ll"},   {0x2427, 0x2429, "So"},
    {0x2ffc, 0x2fff, "So"},   {0x31e4, 0x31e5, "So"},   {0x31ef, 0x31ef, "So"},   {0xa7cb, 0xa7cc, "Lu"},
    {0xa7cd, 0xa7cd, "Ll"},   {0xa7da, 0xa7da, "Lu"},   {0xa7db, 0xa7db, "Ll"},   {0xa7dc, 0xa7dc, "Lu"},
    {0x105c0, 0x105f3, "Lo"}, {0x10d40, 0x10d49, "Nd"}, {0x10d4a, 0x10d4d, "Lo"}, {0x10d4e, 0x10d4e, "Lm"},
    {0x10d4f, 0x10d4f, "Lo"}, {0x10d50, 0x10d65, "Lu"}, {0x10d69, 0x10d6d, "Mn"}, {0x10d6e, 0x10d6e, "Pd"},
    {0x10d6f, 0x10d6f, "Lm"}, {0x10d70, 0x10d85, "Ll"}, {0x10d8e, 0x10d8f, "Sm"}, {0x10ec2, 0x10ec4, "Lo"},
    {0x10efc, 0x10eff, "Mn"}, {0x1123f, 0x11240, "Lo"}, {0x11241, 0x11241, "Mn"}, {0x11380, 0x11389, "Lo"},
    {0x1138b, 0x1138b, "Lo"}, {0x1138e, 0x1138e, "Lo"}, {0x11390, 0x113b5, "Lo"}, {0x113b7, 0x113b7, "Lo"},
    {0x113b8, 0x113ba, "Mc"}, {0x113bb, 0x113c0, "Mn"}, {0x113c2, 0x113c2, "Mc"}, {0x113c5, 0x113c5, "Mc"},
    {0x113c7, 0x113ca, "Mc"}, {0x113cc, 0x113cd, "Mc"}, {0x113ce, 0x113ce, "Mn"}, {0x113cf, 0x113cf, "Mc"},
    {0x113d0, 0x113d0, "Mn"}, {0x113d1, 0x113d1, "Lo"}, {0x113d2, 0x113d2, "Mn"}, {0x113d3, 0x113d3, "Lo"},
    {0x113d4, 0x113d5, "Po"}, {0x113d7, 0x113d8, "Po"}, {0x113e1, 0x113e2, "Mn"}, {0x116d0, 0x116e3, "Nd"},
    {0x11b00, 0x11b09, "Po"}, {0x1171e, 0x1171e, "Mc"}, {0x11bc0, 0x11be0, "Lo"}, {0x11be1, 0x11be1, "Po"},
    {0x11bf0, 0x11bf9, "Nd"}, {0x11f00, 0x11f01, "Mn"}, {0x11f02, 0x11f02, "Lo"}, {0x11f03, 0x11f03, "Mc"},
    {0x11f04, 0x11f10, "Lo"}, {0x11f12, 0x11f33, "Lo"}, {0x11f34, 0x11f35, "Mc"}, {0x11f36, 0x11f3a, "Mn"},
    {0x11f3e, 0x11f3f, "Mc"}, {0x11f40, 0x11f40, "Mn"}, {0x11f41, 0x11f41, "Mc"}, {0x11f42, 0x11f42, "Mn"},
    {0x11f43, 0x11f4f, "Po"}, {0x11f50, 0x11f59, "Nd"}, {0x11f5a, 0x11f5a, "Mn"}, {0x1342f, 0x1342f, "Lo"},
    {0x13439, 0x1343f, "Cf"}, {0x13440, 0x13440, "Mn"}, {0x13441, 0x13446, "Lo"}, {0x13447, 0x13455, "Mn"},
    {0x13460, 0x143fa, "Lo"}, {0x16100, 0x1611d, "Lo"}, {0x1611e, 0x16129, "Mn"}, {0x1612a, 0x1612c, "Mc"},
    {0x1612d, 0x1612f, "Mn"}, {0x16130, 0x16139, "Nd"}, {0x16d40, 0x16d42, "Lm"}, {0x16d43, 0x16d6a, "Lo"},
    {0x16d6b, 0x16d6c, "Lm"}, {0x16d6d, 0x16d6f, "Po"}, {0x16d70, 0x16d79, "Nd"}, {0x18cff, 0x18cff, "Lo"},
    {0x1b132, 0x1b132, "Lo"}, {0x1b155, 0x1b155, "Lo"}, {0x1cc00, 0x1ccef, "So"}, {0x1ccf0, 0x1ccf9, "Nd"},
    {0x1cd00, 0x1ceb3, "So"}, {0x1d2c0, 0x1d2d3, "No"}, {0x1df25, 0x1df2a, "Ll"}, {0x1e030, 0x1e06d, "Lm"},
    {0x1e08f, 0x1e08f, "Mn"}, {0x1e4d0, 0x1e4ea, "Lo"}, {0x1e4eb, 0x1e4eb, "Lm"}, {0x1e4ec, 0x1e4ef, "Mn"},
    {0x1e4f0, 0x1e4f9, "Nd"}, {0x1e5d0, 0x1e5ed, "Lo"}, {0x1e5ee, 0x1e5ef, "Mn"}, {0x1e5f0, 0x1e5f0, "Lo"},
    {0x1e5f1, 0x1e5fa, "Nd"}, {0x1e5ff, 0x1e5ff, "Po"}, {0x1f6dc, 0x1f6dc, "So"}, {0x1f774, 0x1f776, "So"},
    {0x1f77b, 0x1f77f, "So"}, {0x1f7d9, 0x1f7d9, "So"}, {0x1f8b2, 0x1f8bb, "So"}, {0x1f8c0, 0x1f8c1, "So"},
    {0x1fa75, 0x1fa77, "So"}, {0x1fa87, 0x1fa89, "So"}, {0x1fa8f, 0x1fa8f, "So"}, {0x1faad, 0x1faaf, "So"},
    {0x1fabb, 0x1fabf, "So"}, {0x1fac6, 0x1fac6, "So"}, {0x1face, 0x1facf, "So"}, {0x1fada, 0x1fadc, "So"},
    {0x1fadf, 0x1fadf, "So"}, {0x1fae8, 0x1fae9, "So"}, {0x1faf7, 0x1faf8, "So"}, {0x1fbcb, 0x1fbef, "So"},
    {0x2b739, 0x2b739, "Lo"}, {0x2ebf0, 0x2ee5d, "Lo"}, {0x31350, 0x323af, "Lo"},
};

// New members of Alphabetic and Lowercase; some are older characters that gained the property.
constexpr Range kAddedAlphabetic[] = {
    {0x363, 0x36f},     {0x897, 0x897},     {0xc04, 0xc04},     {0xcf3, 0xcf3},     {0xf82, 0xf83},
    {0x1c89, 0x1c8a},   {0x1dd3, 0x1de6},   {0xa7cb, 0xa7cd},   {0xa7da, 0xa7dc},   {0x105c0, 0x105f3},
    {0x10d4a, 0x10d65}, {0x10d69, 0x10d69}, {0x10d6f, 0x10d85}, {0x10ec2, 0x10ec4}, {0x10efc, 0x10efc},
    {0x11080, 0x11081}, {0x1123f, 0x11241}, {0x11380, 0x11389}, {0x1138b, 0x1138b}, {0x1138e, 0x1138e},
    {0x11390, 0x113b5}, {0x113b7, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5}, {0x113c7, 0x113ca},
    {0x113cc, 0x113cd}, {0x113d1, 0x113d1}, {0x113d3, 0x113d3}, {0x11bc0, 0x11be0}, {0x11f00, 0x11f10},
    {0x11f12, 0x11f3a}, {0x11f3e, 0x11f40}, {0x1342f, 0x1342f}, {0x13441, 0x13446}, {0x13460, 0x143fa},
    {0x16100, 0x1612e}, {0x16d40, 0x16d6c}, {0x18cff, 0x18cff}, {0x1b132, 0x1b132}, {0x1b155, 0x1b155},
    {0x1df25, 0x1df2a}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f}, {0x1e4d0, 0x1e4eb}, {0x1e5d0, 0x1e5ed},
    {0x1e5f0, 0x1e5f0}, {0x2b739, 0x2b739}, {0x2ebf0, 0x2ee5d}, {0x31350, 0x323af},
};
constexpr Range kAddedLowercase[] = {
    {0x10fc, 0x10fc}, {0x1c8a, 0x1c8a},   {0xa7cd, 0xa7cd},   {0xa7db, 0xa7db},   {0xa7f2, 0xa7f4},
    {0xab69, 0xab69}, {0x10d70, 0x10d85}, {0x1df25, 0x1df2a}, {0x1e030, 0x1e06d},
};

void append(std::string& items, Range r) {
  items +=
      fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<std::uint32_t>(r.first), static_cast<std::uint32_t>(r.last));
}

std::string items_of(const auto& ranges) {
  std::string items;
  for (const Range r : ranges) {
    if (r.last != 0) append(items, r);
  }
  return items;
}

// `category` is "L" or "Lu".
std::string added_to(std::string_view category) {
  std::string items;
  for (const Added& a : kAdded) {
    if (a.category.starts_with(category)) append(items, {a.first, a.last});
  }
  return items;
}

Property category(std::string_view name) {
  const bool cased = name == "Lu" || name == "Ll" || name == "Lt";
  return {fmt::format("\\p{{{}}}", name), added_to(name), cased};
}

Property operator+(Property a, const Property& b) { return {a.items + b.items, a.added + b.added, a.cased || b.cased}; }

Property only(std::string_view items) { return {std::string(items), "", false}; }

const Property& alphabetic() {
  static const Property p{"\\p{Alphabetic}", items_of(kAddedAlphabetic), false};
  return p;
}

const Property& word() {
  static const Property p = alphabetic() + category("M") + category("Nd") + category("Pc");
  return p;
}

// Letters only, in lower case: "White_Space", "whitespace" and "White Space" are one name.
std::string normalized(std::string_view name) {
  std::string s;
  for (const char c : name) {
    if (c == ' ' || c == '_' || c == '-') continue;
    s += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return s;
}

struct Names {
  std::string_view letters, name;
};

constexpr Names kCategories[] = {
    {"C", "other"},
    {"Cc", "control"},
    {"Cf", "format"},
    {"Cn", "unassigned"},
    {"Co", "privateuse"},
    {"L", "letter"},
    {"Ll", "lowercaseletter"},
    {"Lm", "modifierletter"},
    {"Lo", "otherletter"},
    {"Lt", "titlecaseletter"},
    {"Lu", "uppercaseletter"},
    {"M", "mark"},
    {"Mc", "spacingmark"},
    {"Me", "enclosingmark"},
    {"Mn", "nonspacingmark"},
    {"N", "number"},
    {"Nd", "decimalnumber"},
    {"Nl", "letternumber"},
    {"No", "othernumber"},
    {"P", "punctuation"},
    {"Pc", "connectorpunctuation"},
    {"Pd", "dashpunctuation"},
    {"Pe", "closepunctuation"},
    {"Pf", "finalpunctuation"},
    {"Pi", "initialpunctuation"},
    {"Po", "otherpunctuation"},
    {"Ps", "openpunctuation"},
    {"S", "symbol"},
    {"Sc", "currencysymbol"},
    {"Sk", "modifiersymbol"},
    {"Sm", "mathsymbol"},
    {"So", "othersymbol"},
    {"Z", "separator"},
    {"Zl", "lineseparator"},
    {"Zp", "paragraphseparator"},
    {"Zs", "spaceseparator"},
};

// Binary properties without members added since; \p{Emoji} and the like are left out, which makes them refused.
constexpr std::string_view kBinary[] = {"ascii",     "any", "asciihexdigit", "joincontrol", "regionalindicator",
                                        "whitespace"};

struct Script {
  std::string_view name;
  std::array<Range, 3> added;  // {} is none
};

// Scripts whose growth in Unicode 15 and 16 is known here; any other might silently lack members.
constexpr Script kScripts[] = {
    {"arabic", {{{0x897, 0x897}, {0x10ec2, 0x10ec4}, {0x10efc, 0x10eff}}}},
    {"armenian", {}},
    {"bengali", {}},
    {"bopomofo", {}},
    {"cherokee", {}},
    {"cyrillic", {{{0x1c89, 0x1c8a}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f}}}},
    {"devanagari", {{{0x11b00, 0x11b09}}}},
    {"ethiopic", {}},
    {"georgian", {}},
    {"greek", {}},
    {"gujarati", {}},
    {"gurmukhi", {}},
    {"han", {{{0x2b739, 0x2b739}, {0x2ebf0, 0x2ee5d}, {0x31350, 0x323af}}}},
    {"hangul", {}},
    {"hebrew", {}},
    {"hiragana", {{{0x1b132, 0x1b132}}}},
    {"kannada", {{{0xcf3, 0xcf3}}}},
    {"katakana", {{{0x1b155, 0x1b155}}}},
    {"khmer", {}},
    {"lao", {{{0xece, 0xece}}}},
    {"latin", {{{0xa7cb, 0xa7cd}, {0xa7da, 0xa7dc}, {0x1df25, 0x1df2a}}}},
    {"malayalam", {}},
    {"mongolian", {}},
    {"myanmar", {{{0x116d0, 0x116e3}}}},
    {"oriya", {}},
    {"sinhala", {}},
    {"tamil", {}},
    {"telugu", {}},
    {"thaana", {}},
    {"thai", {}},
    {"tibetan", {}},
};

bool contains(const auto& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

// Which blocks of 256 characters hold any that `added` names, and the ranges themselves.
struct AddedCharacters {
  std::bitset<0x1100> blocks;
  std::vector<Range> ranges;

  AddedCharacters() {
    for (const Added& a : kAdded) ranges.push_back({a.first, a.last});
    for (const auto& r : kAddedAlphabetic) ranges.push_back(r);
    for (const auto& r : kAddedLowercase) ranges.push_back(r);
    for (const Script& script : kScripts) {
      for (const Range r : script.added) {
        if (r.last != 0) ranges.push_back(r);
      }
    }
    for (const Range r : ranges) {
      for (char32_t b = r.first >> 8; b <= r.last >> 8; ++b) blocks.set(b);
    }
  }
  bool has(char32_t c) const {
    return blocks.test(c >> 8) &&
           std::any_of(ranges.begin(), ranges.end(), [c](Range r) { return r.first <= c && c <= r.last; });
  }
};

}  // namespace

std::optional<Property> find_posix_class(std::string_view name) {
  if (name == "alpha") return alphabetic();
  if (name == "digit") return category("Nd");
  if (name == "alnum") return alphabetic() + category("Nd");
  if (name == "upper") return Property{"\\p{Uppercase}", added_to("Lu"), true};
  if (name == "lower") return Property{"\\p{Lowercase}", items_of(kAddedLowercase), true};
  if (name == "punct") return category("P") + category("S");
  if (name == "space") return only("\\p{White_Space}");
  if (name == "blank") return only("\\p{Zs}\\t");
  if (name == "cntrl") return only("\\p{Cc}");
  if (name == "xdigit") return only("0-9A-Fa-f");
  if (name == "word") return word();
  return std::nullopt;
}

std::optional<Property> find_property(std::string_view name) {
  const std::string wanted = normalized(name);
  for (const Names& c : kCategories) {
    if (wanted != c.name && wanted != normalized(c.letters)) continue;
    if (c.letters == "C" || c.letters == "Cn") return std::nullopt;  // would count what was added as unassigned
    return category(c.letters);
  }
  if (wanted == "alphabetic") return alphabetic();
  if (wanted == "uppercase") return find_posix_class("upper");
  if (wanted == "lowercase") return find_posix_class("lower");
  if (wanted != "punct") {
    if (auto posix = find_posix_class(wanted)) return posix;
  }
  if (wanted == "ascii") return only("\\x{0}-\\x{7f}");
  if (contains(kBinary, wanted)) return only(fmt::format("\\p{{{}}}", wanted));
  for (const Script& script : kScripts) {
    if (wanted == script.name) return Property{fmt::format("\\p{{sc:{}}}", wanted), items_of(script.added), false};
  }
  return std::nullopt;
}

// Oniguruma counts the superscripts and fractions of Latin-1 as \w outside brackets, though not within.
Property perl_class(char letter, bool in_class) {
  if (letter == 'd') return category("Nd");
  if (letter == 's') return only("\\p{White_Space}");
  if (letter == 'h') return only("0-9A-Fa-f");
  return in_class ? word() : word() + only("\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
}

Property word_of_rust() { return word() + only("\\p{Join_Control}"); }

bool has_added_characters(std::string_view text) {
  static const AddedCharacters added;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0xcd) {  // below U+0340
      ++at;
      continue;
    }
    const Character c = decode_at(text, at);
    if (added.has(c.code)) return true;
    at += c.size;
  }
  return false;
}

}  // namespace pkv::text
