// A folder's tokenizer: the vocabulary from tokenizer.json or from the older vocab.json and merges.txt, and on top of
// it what the other files say, applied as transformers 5.24 applies it. Its classes say in code what tokenizer.json
// says in data, and sometimes something else; then theirs holds, with a note.
#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "text/classes.h"
#include "text/json.h"
#include "text/pipeline.h"
#include "text/sentencepiece.h"
#include "text/settings.h"
#include "text/tekken.h"

namespace pkv::text {
namespace {

MergeList read_merges(const std::filesystem::path& file) {
  const MappedFile mapped(file, kLargestTokenizerFile);
  const std::string_view text = mapped.text();
  MergeList merges;
  merges.reserve_bytes(text.size());
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      fail_load({.what = "is not a merge",
                 .where = fmt::format("{}: line {}", file.string(), number),
                 .expected = "two tokens with a space between",
                 .found = quote(line)});
    }
    if (!merges.add(line.substr(0, space), line.substr(space + 1))) {
      fail_load(
          {.what = "too many merges", .where = file.string(), .expected = fmt::format("at most {}", MergeList::kMost)});
    }
  }
  return merges;
}

// Where the vocabulary comes from.
struct Source {
  enum class Kind { json, merges, pieces, words };

  Kind kind = Kind::json;
  std::string name;           // of the file, for errors
  TokenizerFile file;         // for pieces empty until the class is known
  SentencePieceModel pieces;  // of tokenizer.model
  bool byte_level = false;    // tokenizer.json holds that word
};

[[noreturn]] void fail_without_tokenizer(const std::filesystem::path& folder) {
  fail_load({.what = "there is no tokenizer here",
             .where = folder.string(),
             .expected = "tokenizer.json, vocab.json and merges.txt, tokenizer.model, tekken.json or vocab.txt",
             .hint = "save the tokenizer beside the model with tokenizer.save_pretrained"});
}

// A token a line, with ids from 0 on; of a token that stands twice the last id holds.
void read_vocab_txt(const std::filesystem::path& file, Vocab& vocab) {
  const MappedFile mapped(file, kLargestTokenizerFile);
  const std::string_view text = mapped.text();
  if (const auto at = first_invalid_utf8(text)) {
    fail_load({.what = "is not UTF-8", .where = fmt::format("{}: byte {}", file.string(), *at)});
  }
  std::vector<std::string_view> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + (text.substr(end).starts_with("\r\n") ? 2 : 1);
  }
  vocab.reserve_bytes(text.size());
  std::unordered_map<std::string_view, std::size_t> last;
  for (std::size_t id = 0; id < lines.size(); ++id) last[lines[id]] = id;
  for (std::size_t id = 0; id < lines.size(); ++id) {
    if (last[lines[id]] == id) vocab.add(lines[id], static_cast<std::int32_t>(id));
  }
}

Source read_source_json(const std::filesystem::path& file) {
  const MappedFile mapped(file, kLargestTokenizerFile);
  Source s{.name = file.string()};
  constexpr std::string_view word = "\"ByteLevel\"";
  s.byte_level = ::memmem(mapped.text().data(), mapped.text().size(), word.data(), word.size()) != nullptr;
  s.file = read_tokenizer_json(mapped.text(), s.name);
  if (!s.file.rest.is_object()) JsonNode(s.file.rest, s.name).wrong("an object");
  return s;
}

Source find_source(const std::filesystem::path& folder) {
  const auto json = folder / "tokenizer.json", vocab = folder / "vocab.json", merges = folder / "merges.txt",
             pieces = folder / "tokenizer.model", words = folder / "vocab.txt";
  if (is_present(json)) return read_source_json(json);
  Source s;
  if (is_present(vocab) && is_present(merges)) {
    s.kind = Source::Kind::merges;
    s.name = folder.string();
    read_vocab_json(MappedFile(vocab, kLargestTokenizerFile).text(), vocab.string(), s.file.vocab);
    s.file.merges = read_merges(merges);
    s.file.has_vocab = s.file.has_merges = true;
    s.file.rest = Json::Object();
  } else if (is_present(pieces)) {
    s.kind = Source::Kind::pieces;
    s.name = pieces.string();
    s.pieces = read_sentencepiece(MappedFile(pieces, kLargestTokenizerFile).text(), s.name);
    s.file.rest = Json::Object();
  } else if (is_present(words)) {
    s.kind = Source::Kind::words;
    s.name = words.string();
    read_vocab_txt(words, s.file.vocab);
    s.file.has_vocab = true;
    s.file.rest = Json::Object();
  } else {
    fail_without_tokenizer(folder);
  }
  return s;
}

// The class's tokens where no file names one, those under names of their own in front of the files'; and the token of
// padding that tokenizer.json names.
void add_defaults(const TokenizerClass& c, const Json& rest, Settings& s) {
  std::vector<std::pair<std::string, Mention>> own;
  std::istringstream words{std::string(c.tokens)};
  for (std::string role, content; words >> role >> content;) {
    if (std::find(kRoles.begin(), kRoles.end(), role) != kRoles.end()) {
      s.named.try_emplace(role, special_mention(content));
      continue;
    }
    own.emplace_back(role, special_mention(content));
  }
  put_before(s, std::move(own));
  const Json* padding = rest.find("padding");
  const Json* pad = padding == nullptr ? nullptr : padding->find("pad_token");
  if (pad != nullptr && pad->is_text() && c.parts.empty())
    s.named.try_emplace("pad_token", special_mention(pad->text()));
}

const std::vector<Mention>& extra_tokens(const Settings& s) {
  static const std::vector<Mention> none;
  return s.extra ? *s.extra : s.additional ? *s.additional : none;
}

// Named tokens in transformers' order.
std::vector<const Mention*> named_tokens(const Settings& s) {
  std::vector<const Mention*> named;
  for (const std::string_view role : kRoles) {
    if (const auto it = s.named.find(role); it != s.named.end() && it->second) named.push_back(&*it->second);
  }
  for (const auto& [name, mention] : s.model_specific) named.push_back(&mention);
  return named;
}

// Those with an id in a file, by that id; then the named ones that are not yet there; then the extra ones.
std::vector<AddedToken> tokens_on_top(const Pipeline& p, const Settings& s) {
  const auto named = named_tokens(s);
  std::unordered_set<std::string_view> names, there;
  for (const Mention* m : named) names.insert(m->token.content);
  for (const AddedToken& t : p.added.all()) there.insert(t.content);
  std::vector<const Mention*> chosen;
  for (const auto& [id, m] : s.added) {
    there.insert(m.token.content);
    chosen.push_back(&m);
  }
  std::unordered_map<std::string_view, std::vector<const Mention*>> by_content;
  std::vector<const Mention*> more = named;
  for (const Mention& m : extra_tokens(s)) more.push_back(&m);
  for (const Mention* m : more) {
    // A content twice with other flags is added twice, and the last flags hold; so transformers has it.
    std::vector<const Mention*>& same = by_content[m->token.content];
    const auto equal = [&](const Mention* other) { return *other == *m; };
    if (there.contains(m->token.content) || std::any_of(same.begin(), same.end(), equal)) continue;
    same.push_back(m);
    chosen.push_back(m);
  }
  std::vector<AddedToken> tokens;
  for (const Mention* m : chosen) {
    Mention token = *m;
    if (names.contains(token.token.content)) make_special(token);
    tokens.push_back(std::move(token.token));
  }
  return tokens;
}

std::vector<AddedToken> once_more(const Settings& s, Again how) {
  std::vector<const Mention*> mentions = named_tokens(s);
  for (const Mention& m : extra_tokens(s)) mentions.push_back(&m);
  std::vector<AddedToken> tokens;
  for (const Mention* m : mentions) {
    Mention again = how == Again::without_flags ? special_mention(m->token.content) : *m;
    make_special(again);
    tokens.push_back(std::move(again.token));
  }
  return tokens;
}

std::int32_t id_of_role(const Pipeline& p, const Settings& s, std::string_view role) {
  const auto it = s.named.find(role);
  const bool named = it != s.named.end() && it->second;
  const AddedToken* t = named ? p.added.find(std::string_view(it->second->token.content)) : nullptr;
  if (t == nullptr) fail_load({.what = fmt::format("there is no {} to put around a text", role), .where = s.where});
  return t->id;
}

bool has_role(const Settings& s, std::string_view role) {
  const auto it = s.named.find(role);
  return it != s.named.end() && it->second.has_value();
}

// Without such a token transformers adds none.
Template bos_and_eos(const Pipeline& p, const Settings& s, bool bos, bool eos) {
  Template t;
  if (bos && has_role(s, "bos_token")) t.parts.push_back({false, {id_of_role(p, s, "bos_token")}});
  t.parts.push_back({true, {}});
  if (eos && has_role(s, "eos_token")) t.parts.push_back({false, {id_of_role(p, s, "eos_token")}});
  return t;
}

void set_frame(Pipeline& p, const TokenizerClass& c, const Settings& s, bool has_post_processor) {
  const bool said = s.add_bos || s.add_eos;
  if (c.frame == Frame::roberta) {
    p.post = {{{false, {id_of_role(p, s, "cls_token")}}, {true, {}}, {false, {id_of_role(p, s, "sep_token")}}}};
  } else if (c.frame == Frame::rebuilt || said || !has_post_processor) {
    p.post = bos_and_eos(p, s, s.add_bos.value_or(c.adds_bos), s.add_eos.value_or(false));
  }
}

// Where tokenizer.json says what stands around a text, the settings of it do nothing: transformers 5 has it so.
void note_unused_frame(Pipeline& p, const Settings& s) {
  const auto look = [&](const char* key, const std::optional<bool>& said, bool done) {
    if (!said || *said == done) return;
    p.notes.push_back(
        fmt::format("{}: {} is not followed: tokenizer.json's post_processor {}, which holds, as in "
                    "transformers 5",
                    s.where, key, done ? "adds one" : "adds none"));
  };
  look("add_bos_token", s.unused_add_bos, !special_tokens_before(p.post).empty());
  look("add_eos_token", s.unused_add_eos, !special_tokens_after(p.post).empty());
}

// What the class builds in the place of what the file says.
void take_parts(Source& source, const TokenizerClass& c, const Settings& s, std::vector<std::string>& notes) {
  const auto unk = s.named.find("unk_token");
  const bool has_unk = unk != s.named.end() && unk->second;
  Json parts = parts_of(c, s, has_unk ? std::string_view(unk->second->token.content) : "None");
  Json& rest = source.file.rest;
  if (source.kind == Source::Kind::json) {
    if (const std::string other = differences(rest, parts); !other.empty()) {
      notes.push_back(
          fmt::format("{}: {} of transformers puts its own {} in the place of the file's, and so do the ids here; the "
                      "file alone may give others",
                      source.name, c.name, other));
    }
    // What the class does not build it takes from the file; make_pipeline() refuses of it what nobody knows.
    for (const auto& [key, value] : rest.members()) {
      const bool built = key == "model" || key == "normalizer" || key == "pre_tokenizer" || key == "decoder";
      if (!built && key != "added_tokens") parts.members()[key] = value;
    }
  }
  rest = std::move(parts);
}

void require_readable(const Source& source, const TokenizerClass& c, const Settings& s) {
  struct Way {
    bool reads;
    std::string_view expected, unsaid;
  };
  const auto way = [&]() -> Way {
    switch (source.kind) {
      case Source::Kind::merges:
        return {c.reads_merges,
                "one that reads vocab.json and merges.txt, as GPT2Tokenizer, RobertaTokenizer or Qwen2Tokenizer",
                "nothing says whether this is a GPT-2 or a RoBERTa tokenizer"};
      case Source::Kind::pieces:
        return {c.reads_pieces, "one that reads tokenizer.model, as LlamaTokenizer or GemmaTokenizer",
                "nothing says of which class this tokenizer is"};
      case Source::Kind::words:
        return {c.reads_words, "one that reads vocab.txt, as BertTokenizer",
                "nothing says that this is a tokenizer as BERT has it"};
      default:
        return {true, "", ""};
    }
  }();
  if (way.reads) return;
  const std::string said = !s.tokenizer_class.empty()  ? s.tokenizer_class
                           : !s.class_of_model.empty() ? s.class_of_model
                                                       : s.model_type;
  if (said.empty()) {
    fail_load({.what = std::string(way.unsaid),
               .where = source.name,
               .hint = "add tokenizer_class to tokenizer_config.json, or save the tokenizer with tokenizer.json"});
  }
  fail_load({.what = "a tokenizer of this class needs a tokenizer.json",
             .where = s.where + ": tokenizer_class",
             .expected = std::string(way.expected),
             .found = said});
}

}  // namespace

Pipeline load_folder(const std::filesystem::path& folder) {
  if (const auto tekken = folder / "tekken.json"; is_present(tekken) && !is_present(folder / "tokenizer.json")) {
    return parse_tekken(MappedFile(tekken, kLargestTokenizerFile).text(), tekken.string());
  }
  Source source = find_source(folder);
  Settings s = read_settings(folder, source.kind == Source::Kind::json ? &source.file.rest : nullptr);
  std::string unknown;
  const TokenizerClass& c = choose_class(s, source.byte_level, unknown);
  require_readable(source, c, s);
  if (source.kind == Source::Kind::pieces) {
    const bool whole = c.parts.empty();
    source.file = whole ? tokenizer_of(source.pieces, s, source.name) : vocabulary_of(source.pieces, source.name);
    add_pieces_sought(source.pieces, !whole, s);
  }
  add_defaults(c, source.file.rest, s);
  std::vector<std::string> notes = std::move(s.notes);
  if (!unknown.empty()) {
    notes.push_back(
        fmt::format("{}: {} of transformers may build parts of its own, which is not done here", source.name, unknown));
  }
  if (!c.parts.empty()) take_parts(source, c, s, notes);
  const bool has_post_processor = JsonNode(source.file.rest, source.name).has("post_processor");
  Pipeline p = make_pipeline(std::move(source.file), source.name);
  p.notes.insert(p.notes.end(), notes.begin(), notes.end());
  p.chat_template = s.chat_template;

  p.added.add(tokens_on_top(p, s), p.bpe.vocab, p.normalizer.get(), s.where);
  if (c.again != Again::no) p.added.add(once_more(s, c.again), p.bpe.vocab, p.normalizer.get(), s.where);
  std::vector<AddedToken> stated;
  for (const auto& [id, m] : s.added) {
    stated.push_back(m.token);
    stated.back().id = id;
  }
  note_other_ids(p, stated, s.added_where);
  set_frame(p, c, s, has_post_processor);
  note_unused_frame(p, s);
  if (s.clean_up_spaces && (p.unigram || p.wordpiece || s.clean_up_even_bpe)) clean_up(p.decoder);
  p.added.split_special_tokens(s.split_special_tokens);
  close(p, source.name);
  return p;
}

}  // namespace pkv::text
