#include "text/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "text/unicode.h"

namespace pkv::text {
namespace {

// Start of the white space that ends at `at`, but not before `floor`.
std::size_t space_before(std::string_view text, std::size_t at, std::size_t floor) {
  while (at > floor) {
    const std::size_t previous = previous_boundary(text, at);
    if (!is_white_space(decode_at(text, previous).code)) break;
    at = previous;
  }
  return at;
}

std::size_t space_after(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const Character c = decode_at(text, at);
    if (!is_white_space(c.code)) break;
    at += c.size;
  }
  return at;
}

}  // namespace

bool operator==(const AddedToken& a, const AddedToken& b) {
  return a.content == b.content && a.single_word == b.single_word && a.lstrip == b.lstrip && a.rstrip == b.rstrip &&
         a.normalized == b.normalized && a.special == b.special;
}

// Behind the added ones if they reach beyond the vocabulary, else behind the vocabulary, whose ids are taken to have no
// holes.
std::int32_t AddedTokens::next_id(const Vocab& vocab) const {
  std::int32_t next = vocab.size();
  for (const AddedToken& t : tokens_) next = std::max(next, t.id + 1);
  return next;
}

void AddedTokens::add(std::vector<AddedToken> tokens, const Vocab& vocab, const Normalizer* normalizer,
                      std::string_view where) {
  std::int32_t next = next_id(vocab);
  for (AddedToken& t : tokens) {
    if (t.content.empty()) continue;
    const auto known = by_content_.find(t.content);
    AddedToken* const old = known == by_content_.end() ? nullptr : &tokens_[known->second];
    if (t.special) once_special_.insert(t.content);
    if (old != nullptr && *old == t) continue;
    t.form = old != nullptr ? old->form : t.content;  // one that is no longer normalised keeps its form for decoding
    bool too_long = false;
    if (t.normalized && normalizer != nullptr) {
      Line line(t.content);
      too_long = !normalizer->apply(line, kMostBytes - std::min(bytes_, kMostBytes));
      t.form = too_long ? t.content : std::move(line.text);
    }
    if (t.form.empty()) {
      fail_load({.what = fmt::format("the added token {} normalises to nothing", quote(t.content)),
                 .where = std::string(where)});
    }
    count_bytes(t.form.size() + (too_long ? kMostBytes : 0), where);
    if (old != nullptr) {
      t.id = old->id;
      *old = std::move(t);
      continue;
    }
    const auto in_vocab = vocab.id(t.content);
    t.id = in_vocab ? *in_vocab : next++;
    keep(std::move(t));
  }
}

void AddedTokens::add_by_id(std::vector<AddedToken> tokens, std::string_view where) {
  for (AddedToken& t : tokens) {
    if (by_content_.contains(t.content)) {
      fail_load({.what = fmt::format("two added tokens are {}", quote(t.content)), .where = std::string(where)});
    }
    t.form = t.content;
    count_bytes(t.form.size(), where);
    if (t.special) once_special_.insert(t.content);
    keep(std::move(t));
  }
}

void AddedTokens::count_bytes(std::size_t more, std::string_view where) {
  bytes_ += more;
  if (bytes_ <= kMostBytes) return;
  fail_load({.what = "the added tokens are too long",
             .where = std::string(where),
             .expected = fmt::format("at most {} bytes together", kMostBytes)});
}

void AddedTokens::keep(AddedToken token) {
  by_content_[token.content] = tokens_.size();
  by_id_[token.id] = tokens_.size();
  tokens_.push_back(std::move(token));
}

std::optional<std::string> AddedTokens::close() {
  std::optional<std::string> twice;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    AddedToken& t = tokens_[i];
    const std::string& sought = t.normalized ? t.form : t.content;
    if (!(t.normalized ? normalized_ : raw_).add(sought, i) && !twice) twice = sought;
    // The library looks the decoded form up among the contents of special tokens.
    t.skipped = once_special_.contains(t.form);
  }
  raw_.close();
  normalized_.close();
  return twice;
}

bool AddedTokens::alone(std::string_view text, std::size_t begin, std::size_t end) const {
  Regex::Matcher matcher(word_character_);
  const auto is_word = [&](std::size_t at) {
    matcher.start(text.substr(at, decode_at(text, at).size));
    return matcher.next().has_value();
  };
  return (begin == 0 || !is_word(previous_boundary(text, begin))) && (end == text.size() || !is_word(end));
}

std::vector<Section> AddedTokens::split(std::string_view text, bool normalized) const {
  const Trie& trie = normalized ? normalized_ : raw_;
  std::vector<Section> sections;
  std::size_t done = 0;   // end of the last section
  std::size_t space = 0;  // white space is known to reach from `space_from` to here
  std::size_t space_from = 0;
  std::size_t from = 0;
  while (!trie.empty()) {
    const auto found = trie.find(text, from);
    if (!found) break;
    from = found->end;
    const AddedToken& token = tokens_[found->value];
    std::size_t begin = found->begin, end = found->end;
    if (splits_special_ && once_special_.contains(token.content)) continue;
    if (token.single_word && !alone(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(space_before(text, begin, std::min(done, begin)), done);
    if (token.rstrip) {
      if (end < space_from || end >= space) space_from = end, space = space_after(text, end);
      end = space;
    }
    if (begin > end) continue;  // the white space that it asks for lies within another token's
    if (done < begin) sections.push_back({done, begin, nullptr});
    if (begin < end) sections.push_back({begin, end, &token});
    done = end;
  }
  if (done != text.size()) sections.push_back({done, text.size(), nullptr});
  return sections;
}

const AddedToken* AddedTokens::find(std::int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(std::string(content));
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

}  // namespace pkv::text
