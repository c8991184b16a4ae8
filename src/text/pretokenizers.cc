#include "text/pretokenizers.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/metaspace.h"
#include "text/patterns.h"
#include "text/unicode.h"

namespace pkv::text {
namespace {

// What becomes of the text that matches a pattern, and of the text between.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior read_behavior(const JsonNode& node) {
  const std::string& name = node.text();
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  node.wrong("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

struct Piece {
  std::size_t begin, end;
  bool matched;
};

// Joins pieces in place. `joins(piece, last)` says whether a piece extends the last one kept.
template <class Joins>
void join(std::vector<Piece>& pieces, Joins joins) {
  std::size_t kept = 0;
  bool previous = false;  // whether the piece before, joined or not, matched
  for (const Piece& p : pieces) {
    if (kept > 0 && joins(p.matched, previous)) {
      pieces[kept - 1].begin = std::min(pieces[kept - 1].begin, p.begin);
      pieces[kept - 1].end = std::max(pieces[kept - 1].end, p.end);
    } else {
      pieces[kept++] = p;
    }
    previous = p.matched;
  }
  pieces.resize(kept);
}

void arrange(std::vector<Piece>& pieces, Behavior behavior) {
  const auto match_after_text = [](bool matched, bool previous) { return matched && !previous; };
  switch (behavior) {
    case Behavior::removed:
      std::erase_if(pieces, [](const Piece& p) { return p.matched; });
      break;
    case Behavior::isolated:
      break;
    case Behavior::contiguous:
      join(pieces, [](bool matched, bool previous) { return matched == previous; });
      break;
    case Behavior::merged_with_previous:
      join(pieces, match_after_text);
      break;
    case Behavior::merged_with_next:
      std::reverse(pieces.begin(), pieces.end());
      join(pieces, match_after_text);
      std::reverse(pieces.begin(), pieces.end());
      break;
  }
}

// Cuts every word with `find(word, pieces)`, which appends pieces that cover the word.
template <class Find>
void cut(Words& words, Behavior behavior, Find find) {
  std::vector<Match> spans;
  spans.reserve(words.spans.size());
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < words.spans.size(); ++i) {
    pieces.clear();
    find(words[i], pieces);
    arrange(pieces, behavior);
    const std::size_t base = words.spans[i].begin;
    for (const Piece& p : pieces) {
      if (p.begin != p.end) spans.push_back({base + p.begin, base + p.end});
    }
  }
  words.spans = std::move(spans);
}

void cut_by_regex(Words& words, const Regex& regex, Behavior behavior, bool invert) {
  Regex::Matcher matcher(regex);
  cut(words, behavior, [&](std::string_view word, std::vector<Piece>& pieces) {
    matcher.start(word);
    std::size_t at = 0;
    while (const auto m = matcher.next()) {
      if (at != m->begin) pieces.push_back({at, m->begin, invert});
      pieces.push_back({m->begin, m->end, !invert});
      at = m->end;
    }
    if (at != word.size()) pieces.push_back({at, word.size(), invert});
  });
}

// Every character that `is` accepts is a match of its own.
template <class Is>
void cut_by_character(Words& words, Is is, Behavior behavior) {
  cut(words, behavior, [&](std::string_view word, std::vector<Piece>& pieces) {
    std::size_t kept = 0;
    for (std::size_t at = 0; at < word.size();) {
      const Character c = decode_at(word, at);
      if (is(c.code)) {
        if (kept < at) pieces.push_back({kept, at, false});
        pieces.push_back({at, at + c.size, true});
        kept = at + c.size;
      }
      at += c.size;
    }
    if (kept < word.size()) pieces.push_back({kept, word.size(), false});
  });
}

const Regex& gpt2_pattern() {
  static const Regex regex =
      Regex::compile(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "ByteLevel");
  return regex;
}

// Writes every word anew: `prefix(i)` and then what `rewritten` makes of each part of it.
template <class Prefix, class Rewritten>
void rewrite_each(Words& words, Prefix prefix, Rewritten rewritten) {
  Words out;
  out.text.reserve(words.text.size() + words.text.size() / 4 + words.spans.size());
  out.spans.reserve(words.spans.size());
  for (std::size_t i = 0; i < words.spans.size(); ++i) {
    const std::string_view word = words[i];
    const std::size_t begin = out.text.size();
    const std::size_t first = words.at_start(i) ? std::min(words.origin - words.spans[i].begin, word.size()) : 0;
    out.text += prefix(i);
    out.text += rewritten(word.substr(0, first));
    if (first > 0) out.origin = out.text.size();
    out.text += rewritten(word.substr(first));
    out.spans.push_back({begin, out.text.size()});
  }
  words = std::move(out);
}

std::string_view no_prefix(std::size_t) { return {}; }

// Llama 3's, Qwen 2's and 3.5's, GPT-4o's, Mistral's and DeepSeek's. In these a match that begins with something else
// goes on with line breaks only, never with U+0020, and none looks further than one character beyond white space.
bool cuts_before_space(const JsonNode& pattern) {
  constexpr std::string_view known[] = {
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
      R"(\s+(?!\S)|\s+)",
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+)"
      R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
      R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)"
      R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"};
  return pattern.has("Regex") &&
         std::find(std::begin(known), std::end(known), pattern.at("Regex").text()) != std::end(known);
}

// Runs of characters none of which is white space, whatever is around them: a cut before white space is in what is left
// between them, for the steps behind to see.
bool matches_no_space(const JsonNode& pattern) {
  constexpr std::string_view known[] = {
      R"(\p{N})",        R"(\p{N}+)", R"(\p{N}{1,3})", "[0-9]",
      "[0-9][0-9][0-9]", R"(\d)",     R"(\d{1,3})",    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"};
  return pattern.has("Regex") &&
         std::find(std::begin(known), std::end(known), pattern.at("Regex").text()) != std::end(known);
}

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}
  void apply(Words& words) const override {
    const auto as_it_is = [](std::string_view part) { return part; };
    if (add_prefix_space_) {
      rewrite_each(
          words, [&](std::size_t i) { return words[i][0] == ' ' ? std::string_view() : " "; }, as_it_is);
    }
    if (use_regex_) cut_by_regex(words, gpt2_pattern(), Behavior::isolated, false);
    rewrite_each(words, no_prefix, spell_bytes);
  }
  // No match of the pattern goes on with white space, and none looks further than one character beyond white space. A
  // prefix is added to what does not begin with U+0020.
  CutBefore cut_before() const override {
    if (!use_regex_) return CutBefore::nothing;
    return add_prefix_space_ ? CutBefore::space : CutBefore::white_space;
  }

 private:
  bool add_prefix_space_, use_regex_;
};

class Split : public PreTokenizer {
 public:
  explicit Split(const JsonNode& node)
      : pattern_(read_pattern(node.at("pattern"))),
        behavior_(read_behavior(node.at("behavior"))),
        invert_(node.at("invert").flag()),
        cuts_before_space_(cuts_before_space(node.at("pattern"))),
        matches_no_space_(matches_no_space(node.at("pattern"))),
        spaces_(node.at("pattern").has("String") && node.at("pattern").at("String").text() == " ") {
    node.only({"type", "pattern", "behavior", "invert"});
  }
  bool cuts_at_spaces_alone() const override { return spaces_ && !invert_; }
  void apply(Words& words) const override { cut_by_regex(words, pattern_, behavior_, invert_); }
  CutBefore cut_before() const override {
    const bool whole = behavior_ == Behavior::isolated || (behavior_ == Behavior::removed && invert_);
    return whole && cuts_before_space_ ? CutBefore::space : CutBefore::nothing;
  }
  bool leaves_spaces() const override { return behavior_ == Behavior::isolated && !invert_ && matches_no_space_; }

 private:
  Regex pattern_;
  Behavior behavior_;
  bool invert_, cuts_before_space_, matches_no_space_, spaces_;
};

class Digits : public PreTokenizer {
 public:
  explicit Digits(const JsonNode& node)
      : behavior_(node.at("individual_digits").flag() ? Behavior::isolated : Behavior::contiguous) {
    node.only({"type", "individual_digits"});
  }
  void apply(Words& words) const override { cut_by_character(words, is_number, behavior_); }
  bool leaves_spaces() const override { return true; }

 private:
  Behavior behavior_;
};

class Punctuation : public PreTokenizer {
 public:
  explicit Punctuation(const JsonNode& node)
      : behavior_(node.has("behavior") ? read_behavior(node.at("behavior")) : Behavior::isolated) {
    node.only({"type", "behavior"});
  }
  void apply(Words& words) const override { cut_by_character(words, is_punctuation, behavior_); }
  bool leaves_spaces() const override { return behavior_ == Behavior::isolated || behavior_ == Behavior::contiguous; }

 private:
  Behavior behavior_;
};

class Whitespace : public PreTokenizer {
 public:
  void apply(Words& words) const override { cut_by_regex(words, words_and_signs(), Behavior::removed, true); }
  CutBefore cut_before() const override { return CutBefore::white_space; }  // no word holds any

 private:
  static const Regex& words_and_signs() {
    static const Regex regex = Regex::words_of_rust();
    return regex;
  }
};

// Spaces become the replacement, words begin with it.
class Metaspace : public PreTokenizer {
 public:
  explicit Metaspace(const JsonNode& node) : mark_(read_metaspace(node)) {}
  void apply(Words& words) const override {
    const auto prefix = [&](std::size_t i) {
      const bool prepend = mark_.prepend == Prepend::always || (mark_.prepend == Prepend::first && words.at_start(i));
      const bool marked = words[i][0] == ' ' || words[i].starts_with(mark_.replacement);
      return prepend && !marked ? std::string_view(mark_.replacement) : std::string_view();
    };
    rewrite_each(words, prefix, [&](std::string_view part) {
      std::string out;
      for (const char c : part) c == ' ' ? out += mark_.replacement : out += c;
      return out;
    });
    if (mark_.split) cut_by_regex(words, pattern_, Behavior::merged_with_next, false);
  }
  // Words begin with the mark, also those behind a cut, which then get no other.
  CutBefore cut_before() const override { return mark_.split ? CutBefore::space : CutBefore::nothing; }
  std::string_view mark() const override { return mark_.split ? std::string_view() : mark_.replacement; }

 private:
  MetaspaceMark mark_;
  Regex pattern_ = Regex::literal(mark_.replacement);
};

// Words between white space; BertPreTokenizer's also end at punctuation, which stands alone.
class WhitespaceSplit : public PreTokenizer {
 public:
  explicit WhitespaceSplit(bool at_punctuation) : at_punctuation_(at_punctuation) {}
  void apply(Words& words) const override {
    cut_by_character(words, is_white_space, Behavior::removed);
    if (at_punctuation_) cut_by_character(words, is_punctuation, Behavior::isolated);
  }
  CutBefore cut_before() const override { return CutBefore::white_space; }  // no word holds any

 private:
  bool at_punctuation_;
};

class CharDelimiterSplit : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(const JsonNode& node) : delimiter_(node.at("delimiter").text()) {
    node.only({"type", "delimiter"});
    if (!is_one_character(delimiter_)) node.at("delimiter").wrong("one character");
  }
  void apply(Words& words) const override {
    const char32_t wanted = decode_at(delimiter_, 0).code;
    cut_by_character(
        words, [&](char32_t c) { return c == wanted; }, Behavior::removed);
  }

 private:
  std::string delimiter_;
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(const JsonNode& node) {
    node.only({"type", "pretokenizers"});
    for (const JsonNode& n : node.at("pretokenizers").elements()) steps_.push_back(make_pre_tokenizer(n));
  }
  void apply(Words& words) const override {
    for (const auto& step : steps_) step->apply(words);
  }
  // Of the first step that may join characters; those behind it never see across the cut.
  CutBefore cut_before() const override {
    const auto first =
        std::find_if_not(steps_.begin(), steps_.end(), [](const auto& step) { return step->leaves_spaces(); });
    return first == steps_.end() ? CutBefore::nothing : (*first)->cut_before();
  }

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> steps_;
};

std::unique_ptr<const PreTokenizer> make_byte_level(const JsonNode& node) {
  node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  node.at("trim_offsets").flag();  // concerns offsets only, which nobody asks for here
  return std::make_unique<ByteLevel>(node.at("add_prefix_space").flag(), node.flag_or("use_regex", true));
}

}  // namespace

std::unique_ptr<const PreTokenizer> make_pre_tokenizer(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "ByteLevel") return make_byte_level(node);
  if (type == "Split") return std::make_unique<Split>(node);
  if (type == "Digits") return std::make_unique<Digits>(node);
  if (type == "Punctuation") return std::make_unique<Punctuation>(node);
  if (type == "Metaspace") return std::make_unique<Metaspace>(node);
  if (type == "CharDelimiterSplit") return std::make_unique<CharDelimiterSplit>(node);
  if (type == "Sequence") return std::make_unique<PreTokenizerSequence>(node);
  const bool known = type == "Whitespace" || type == "WhitespaceSplit" || type == "BertPreTokenizer";
  if (!known) {
    node.at("type").refuse("this pre-tokenizer is not supported",
                           "ByteLevel, Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, "
                           "BertPreTokenizer, CharDelimiterSplit or Sequence");
  }
  node.only({"type"});
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  return std::make_unique<WhitespaceSplit>(type == "BertPreTokenizer");
}

}  // namespace pkv::text
