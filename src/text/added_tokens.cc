#include "text/added_tokens.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

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

std::optional<std::string> AddedTokens::set(std::vector<AddedToken> tokens) {
  tokens_ = std::move(tokens);
  std::unordered_set<std::string_view> special;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& t = tokens_[i];
    by_id_[t.id] = i;
    by_content_[t.content] = i;
    if (t.special) special.insert(t.content);
    if (!(t.normalized ? normalized_ : raw_).add(t.form, i)) return t.form;
  }
  raw_.close();
  normalized_.close();
  // The library looks the decoded form up among the contents of special tokens; mostly the same as `special`.
  for (AddedToken& t : tokens_) t.skipped = special.contains(t.form);
  return std::nullopt;
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
    if (token.single_word && !alone(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(space_before(text, begin, std::min(done, begin)), done);
    if (token.rstrip) {
      if (end < space_from || end >= space) space_from = end, space = space_after(text, end);
      end = space;
    }
    if (done < begin) sections.push_back({done, begin, nullptr});
    sections.push_back({begin, end, &token});
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
  const auto it = by_content_.find(content);
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

}  // namespace pkv::text
