#include "text/cuts.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/unicode.h"

namespace pkv::text {
namespace {

constexpr std::size_t kLongestCharacter = 4;
constexpr std::string_view kSpaceMark = "\xe2\x96\x81";

bool is_ascii_white_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Control characters count as white space: what is \s to whom need not be argued about.
// Nor does the mark of a space, in front of which another may stand.
bool is_dark(char32_t code) {
  return code > 0x20 && code != 0x2581 && !(code >= 0x7f && code < 0xa0) && !is_white_space(code);
}

// Whether the character that ends at `end` is a valid one and no white space.
bool dark_before(std::string_view text, std::size_t end) {
  const std::size_t floor = end > kLongestCharacter ? end - kLongestCharacter : 0;
  std::size_t begin = end - 1;
  while (begin > floor && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  const std::string_view character = text.substr(begin, end - begin);
  if (first_invalid_utf8(character)) return false;
  const Character c = decode_at(character, 0);
  return c.size == character.size() && is_dark(c.code);
}

bool holds_a_cut(std::string_view form) {
  for (std::size_t at = 1; at < form.size(); ++at) {
    if (is_ascii_white_space(form[at]) && !is_ascii_white_space(form[at - 1])) return true;
  }
  return false;
}

bool rules_cuts_out(const AddedToken& t) {
  return t.rstrip || t.single_word || holds_a_cut(t.content) || holds_a_cut(t.form);
}

// Parts that stand for the whole text, once.
bool has_text_once(const Template& post) {
  return std::count_if(post.parts.begin(), post.parts.end(), [](const Template::Part& p) { return p.text; }) == 1;
}

// Whether no token holds the mark behind another character: then no merge goes across a cut before a mark, and the mark
// is a token, so that unknown characters on both sides are not fused.
bool keeps_apart(const Bpe& bpe, std::string_view mark) {
  if (mark != kSpaceMark || !bpe.vocab.id(mark) || bpe.ignore_merges || !bpe.end_of_word_suffix.empty()) return false;
  if (!bpe.continuing_subword_prefix.empty()) return false;
  return bpe.vocab.all_of([&](std::string_view token) {
    for (std::size_t at = token.find(mark, 1); at != token.npos; at = token.find(mark, at + 1)) {
      if (!token.substr(0, at).ends_with(mark)) return false;
    }
    return true;
  });
}

// A text of such a tokenizer is one word in which the mark stands for a space.
std::string_view mark_of(const Pipeline& p) {
  const bool as_it_is = !p.pre_tokenizer || p.pre_tokenizer->cuts_at_spaces_alone();
  if (p.normalizer && as_it_is) return p.normalizer->mark();
  return !p.normalizer && p.pre_tokenizer ? p.pre_tokenizer->mark() : std::string_view();
}

}  // namespace

CutBefore find_cut_before(const Pipeline& p) {
  const auto& added = p.added.all();
  if (!has_text_once(p.post)) return CutBefore::nothing;
  const CutBefore left = p.normalizer ? p.normalizer->leaves_cuts() : CutBefore::white_space;
  if (std::any_of(added.begin(), added.end(), rules_cuts_out)) return CutBefore::nothing;
  if (const std::string_view mark = mark_of(p); !mark.empty()) {
    const bool apart = !p.unigram && !p.wordpiece && keeps_apart(p.bpe, mark);
    return std::min(left, apart ? CutBefore::space : CutBefore::nothing);
  }
  if (p.normalizer && !p.normalizer->keeps_spaces()) return CutBefore::nothing;
  return std::min(left, p.pre_tokenizer ? p.pre_tokenizer->cut_before() : CutBefore::nothing);
}

std::size_t last_cut(std::string_view text, std::size_t from, CutBefore before) {
  if (before == CutBefore::nothing) return 0;
  for (std::size_t at = text.size(); at-- > from + 1;) {
    const bool candidate = before == CutBefore::space ? text[at] == ' ' : is_ascii_white_space(text[at]);
    if (candidate && dark_before(text, at)) return at;
  }
  return 0;
}

}  // namespace pkv::text
