#include "text/sentencepiece.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace pkv::text {
namespace {

constexpr std::size_t kMostPieces = 1 << 22;
// Looking for the halves of a piece takes a time in the square of its length; of all pieces together so many bytes.
constexpr std::size_t kMostHalves = std::size_t{1} << 32;

// A protocol buffer message: its fields one after the other.
class Message {
 public:
  Message(std::string_view bytes, std::string_view file, std::size_t offset)
      : bytes_(bytes), file_(file), offset_(offset) {}

  // The next field's number; none at the end. Then take its value by one of the methods below, or skip it.
  std::optional<std::uint64_t> next() {
    if (at_ == bytes_.size()) return std::nullopt;
    const std::uint64_t key = varint();
    type_ = key & 7;
    if (key >> 3 == 0) fail("a field has the number 0");
    return key >> 3;
  }
  std::uint64_t integer() { return type_ == 0 ? varint() : wrong("an integer"); }
  bool flag() { return integer() != 0; }
  std::int32_t small_integer() { return static_cast<std::int32_t>(static_cast<std::uint32_t>(integer())); }
  float number() {
    if (type_ != 5) wrong("a number of 32 bits");
    const std::string_view four = take(4);
    std::uint32_t bits = 0;
    for (int i = 3; i >= 0; --i) bits = bits << 8 | static_cast<unsigned char>(four[static_cast<std::size_t>(i)]);
    return std::bit_cast<float>(bits);
  }
  std::string_view bytes() {
    if (type_ != 2) wrong("a string or message");
    return take(varint());
  }
  std::string text() {
    const std::string_view s = bytes();
    if (first_invalid_utf8(s)) fail("a text is not UTF-8");
    return std::string(s);
  }
  Message message() {
    const std::string_view inside = bytes();
    return {inside, file_, offset_ + at_ - inside.size()};
  }
  void skip() {
    switch (type_) {
      case 0:
        varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        take(varint());
        break;
      case 5:
        take(4);
        break;
      default:
        fail("a field is of an unknown type");
    }
  }
  [[noreturn]] void fail(std::string what) const {
    fail_load(
        {.what = std::move(what),
         .where = fmt::format("{}: byte {}", file_, offset_ + at_),
         .hint =
             "a whole SentencePiece model, which is a protocol buffer: no pointer of Git LFS, no part of a download"});
  }

 private:
  [[noreturn]] std::uint64_t wrong(std::string_view expected) { fail(fmt::format("a field is not {}", expected)); }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) fail("the file ends within a number");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number is too long");
  }
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - at_) fail("the file ends within a field");
    at_ += static_cast<std::size_t>(size);
    return bytes_.substr(at_ - static_cast<std::size_t>(size), static_cast<std::size_t>(size));
  }

  std::string_view bytes_, file_;
  std::size_t offset_;  // of the message in the file
  std::size_t at_ = 0;
  std::uint64_t type_ = 0;
};

SentencePieceModel::Piece read_piece(Message m) {
  SentencePieceModel::Piece piece;
  while (const auto field = m.next()) {
    if (*field == 1) {
      piece.text = m.text();
    } else if (*field == 2) {
      piece.score = m.number();
      if (!std::isfinite(piece.score)) m.fail("a score is not finite");
    } else if (*field == 3) {
      const std::uint64_t kind = m.integer();
      if (kind < 1 || kind > 6) m.fail("a piece is of an unknown kind");
      piece.kind = static_cast<SentencePieceModel::Kind>(kind);
    } else {
      m.skip();
    }
  }
  return piece;
}

void read_training(Message m, SentencePieceModel& model) {
  while (const auto field = m.next()) {
    switch (*field) {
      case 3: {
        const std::uint64_t algorithm = m.integer();
        if (algorithm < 1 || algorithm > 4) m.fail("the model is of an unknown type");
        model.algorithm = static_cast<SentencePieceModel::Algorithm>(algorithm);
        break;
      }
      case 24:
        if (m.flag()) m.fail("treat_whitespace_as_suffix is not supported");
        break;
      case 35:
        model.byte_fallback = m.flag();
        break;
      case 40:
        model.unk_id = m.small_integer();
        break;
      case 41:
        model.bos_id = m.small_integer();
        break;
      case 42:
        model.eos_id = m.small_integer();
        break;
      case 45:
        model.unk_piece = m.text();
        break;
      case 46:
        model.bos_piece = m.text();
        break;
      case 47:
        model.eos_piece = m.text();
        break;
      default:
        m.skip();
    }
  }
}

void read_normalization(Message m, SentencePieceModel& model) {
  while (const auto field = m.next()) {
    switch (*field) {
      case 2:
        model.charsmap = std::string(m.bytes());
        break;
      case 3:
        model.add_dummy_prefix = m.flag();
        break;
      case 4:
        model.remove_extra_whitespaces = m.flag();
        break;
      case 5:
        model.escape_whitespaces = m.flag();
        break;
      default:
        m.skip();
    }
  }
}

// Ids of pieces by their texts.
using Ids = std::unordered_map<std::string_view, std::int32_t>;

[[noreturn]] void fail_twice(std::string_view text, std::size_t piece, std::string_view where) {
  fail_load(
      {.what = fmt::format("two pieces are {}", quote(text)), .where = fmt::format("{}: piece {}", where, piece)});
}

Ids ids_of(const std::vector<std::string>& texts, std::string_view where) {
  Ids ids;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!ids.emplace(texts[i], static_cast<std::int32_t>(i)).second) fail_twice(texts[i], i, where);
  }
  return ids;
}

std::vector<std::string> texts_of(const SentencePieceModel& model) {
  std::vector<std::string> texts;
  for (const auto& piece : model.pieces) texts.push_back(piece.text);
  return texts;
}

struct Merge {
  std::string_view left, right;
  std::int32_t id;  // of the whole
  double rank;      // less comes first
};

// Every way to make a piece of two others. `halves(text)`: the id of a piece that may be one, or none.
template <class Halves>
void add_merges(std::string_view text, Merge whole, Halves halves, std::vector<Merge>& merges) {
  for (std::size_t at = 0; at < text.size();) {
    at += decode_at(text, at).size;
    if (at == text.size()) return;
    whole.left = text.substr(0, at);
    whole.right = text.substr(at);
    if (halves(whole.left) && halves(whole.right)) merges.push_back(whole);
  }
}

void check_lengths(const std::vector<std::string>& texts, std::string_view where) {
  std::size_t halves = 0;
  for (const std::string& text : texts) {
    halves += text.size() * text.size();
    if (text.size() > kMostHalves || halves > kMostHalves) {
      fail_load({.what = "the pieces are too long", .where = std::string(where), .found = quote(text)});
    }
  }
}

void keep(const std::vector<Merge>& merges, std::string_view where, MergeList& list) {
  for (const Merge& m : merges) {
    if (list.add(m.left, m.right)) continue;
    fail_load({.what = "too many merges",
               .where = std::string(where),
               .expected = fmt::format("at most {}", MergeList::kMost)});
  }
}

void fill(const std::vector<std::string>& texts, std::string_view where, TokenizerFile& file) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!file.vocab.add(texts[i], static_cast<std::int32_t>(i))) fail_twice(texts[i], i, where);
  }
  file.has_vocab = file.has_merges = true;
  file.rest = Json::Object();
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// Pieces under the names that files give to their ids, but for a name that another piece has and keeps.
std::vector<std::string> renamed(const SentencePieceModel& model, const Settings& s) {
  if (s.added.empty()) return texts_of(model);
  std::unordered_set<std::string_view> kept;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    if (!s.added.contains(static_cast<std::int32_t>(i))) kept.insert(model.pieces[i].text);
  }
  std::vector<std::string> texts = texts_of(model);
  for (const auto& [id, mention] : s.added) {
    if (static_cast<std::size_t>(id) < texts.size() && !kept.contains(mention.token.content)) {
      texts[static_cast<std::size_t>(id)] = mention.token.content;
    }
  }
  return texts;
}

Json object(Json::Object members) { return members; }

Json replace(const char* kind, std::string_view pattern, std::string_view content) {
  return object({{"type", "Replace"}, {"pattern", object({{kind, pattern}})}, {"content", content}});
}

// A pattern that matches any of the texts, the longest first.
std::string any_of(std::vector<std::string> texts) {
  std::stable_sort(texts.begin(), texts.end(),
                   [](const std::string& a, const std::string& b) { return characters(a) > characters(b); });
  std::string pattern;
  for (const std::string& text : texts) {
    if (!pattern.empty()) pattern += '|';
    for (const char c : text) {
      const bool sign = c > ' ' && c < 0x7f && std::string_view("_").find(c) == std::string_view::npos &&
                        !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
      if (sign) pattern += '\\';
      pattern += c;
    }
  }
  return pattern;
}

constexpr const char* kMark = "\xe2\x96\x81";

// Merges of which it is not known yet whether both halves are pieces like any other; looked up many at once, since
// looking up one waits for memory.
struct Halves {
  Halves(const SentencePieceModel& model, const Vocab& vocab) : model_(model), vocab_(vocab) {}

  void answer() {
    std::vector<std::string_view> texts;
    for (const Merge& m : asked) texts.insert(texts.end(), {m.left, m.right});
    std::vector<std::int32_t> ids(texts.size());
    vocab_.ids(texts, ids);
    const auto is_normal = [&](std::int32_t id) {
      return id >= 0 && model_.pieces[static_cast<std::size_t>(id)].kind == SentencePieceModel::Kind::normal;
    };
    for (std::size_t i = 0; i < asked.size(); ++i) {
      if (is_normal(ids[2 * i]) && is_normal(ids[2 * i + 1])) merges.push_back(asked[i]);
    }
    asked.clear();
  }

  std::vector<Merge> asked, merges;

 private:
  const SentencePieceModel& model_;
  const Vocab& vocab_;
};

// In SentencePiece's order.
Json normalizer_of(const SentencePieceModel& model, bool every_chunk, std::string_view where) {
  Json::Array steps;
  if (!model.charsmap.empty()) {
    fail_load({.what = "a precompiled normalisation is not supported",
               .where = std::string(where),
               .found = fmt::format("{} bytes", model.charsmap.size()),
               .hint = "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes tokenizer.json"});
  }
  if (model.remove_extra_whitespaces) {
    steps.push_back(replace("Regex", "\\A +| +\\z", ""));
    steps.push_back(replace("Regex", " {2,}", " "));
  }
  if (model.escape_whitespaces) steps.push_back(replace("String", " ", kMark));
  // Metaspace puts no mark in front of one; SentencePiece does.
  if (model.add_dummy_prefix && every_chunk) {
    steps.push_back(replace("Regex", std::string("\\A") + kMark, std::string(kMark) + kMark));
  }
  return object({{"type", "Sequence"}, {"normalizers", steps}});
}

Json pre_tokenizer_of(const SentencePieceModel& model, bool every_chunk, std::vector<std::string> user_defined) {
  Json::Array steps;
  if (model.add_dummy_prefix) {
    steps.push_back(object({{"type", "Metaspace"},
                            {"replacement", kMark},
                            {"prepend_scheme", every_chunk ? "always" : "first"},
                            {"split", false}}));
  }
  if (!user_defined.empty()) {
    steps.push_back(object({{"type", "Split"},
                            {"pattern", object({{"Regex", any_of(std::move(user_defined))}})},
                            {"behavior", "Isolated"},
                            {"invert", false}}));
  }
  return steps.empty() ? Json() : object({{"type", "Sequence"}, {"pretokenizers", steps}});
}

Json decoder_of(const SentencePieceModel& model) {
  Json::Array steps{replace("String", kMark, " ")};
  if (model.byte_fallback) steps.push_back(object({{"type", "ByteFallback"}}));
  if (model.add_dummy_prefix || model.byte_fallback) steps.push_back(object({{"type", "Fuse"}}));
  if (model.add_dummy_prefix) {
    steps.push_back(object({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}));
  }
  return object({{"type", "Sequence"}, {"decoders", steps}});
}

void require_bpe(const SentencePieceModel& model, std::string_view where) {
  if (model.algorithm == SentencePieceModel::Algorithm::bpe) return;
  constexpr const char* names[] = {"", "Unigram", "BPE", "words", "characters"};
  fail_load({.what = fmt::format("a tokenizer of the kind {} is not supported",
                                 names[static_cast<std::size_t>(model.algorithm)]),
             .where = std::string(where),
             .expected = "BPE"});
}

}  // namespace

SentencePieceModel read_sentencepiece(std::string_view bytes, std::string_view where) {
  SentencePieceModel model;
  Message m(bytes, where, 0);
  while (const auto field = m.next()) {
    if (*field == 1) {
      if (model.pieces.size() == kMostPieces) m.fail("there are too many pieces");
      model.pieces.push_back(read_piece(m.message()));
      if (model.pieces.back().text.empty()) m.fail("a piece is empty");
    } else if (*field == 2) {
      read_training(m.message(), model);
    } else if (*field == 3) {
      read_normalization(m.message(), model);
    } else {
      m.skip();
    }
  }
  if (model.pieces.empty()) m.fail("there are no pieces");
  return model;
}

TokenizerFile vocabulary_of(const SentencePieceModel& model, std::string_view where) {
  require_bpe(model, where);
  const std::vector<std::string> texts = texts_of(model);
  check_lengths(texts, where);
  const Ids ids = ids_of(texts, where);
  std::vector<Merge> merges;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto begin = static_cast<std::ptrdiff_t>(merges.size());
    add_merges(
        texts[i], {{}, {}, static_cast<std::int32_t>(i), 0}, [&](auto text) { return ids.contains(text); }, merges);
    std::stable_sort(merges.begin() + begin, merges.end(), [&](const Merge& a, const Merge& b) {
      return std::pair(ids.at(a.left), ids.at(a.right)) < std::pair(ids.at(b.left), ids.at(b.right));
    });
    std::stable_sort(merges.begin() + begin, merges.end(),
                     [&](const Merge& a, const Merge& b) { return characters(a.left) < characters(b.left); });
  }
  TokenizerFile file;
  fill(texts, where, file);
  keep(merges, where, file.merges);
  return file;
}

TokenizerFile tokenizer_of(const SentencePieceModel& model, Settings& s, std::string_view where) {
  require_bpe(model, where);
  const std::vector<std::string> texts = renamed(model, s);
  check_lengths(texts, where);
  TokenizerFile file;
  fill(texts, where, file);
  Halves halves(model, file.vocab);
  std::vector<std::string> user_defined;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto& piece = model.pieces[i];
    if (piece.kind == SentencePieceModel::Kind::user_defined) user_defined.push_back(texts[i]);
    if (piece.kind != SentencePieceModel::Kind::normal) continue;
    add_merges(
        texts[i], {{}, {}, static_cast<std::int32_t>(i), -static_cast<double>(piece.score)}, [](auto) { return true; },
        halves.asked);
    if (halves.asked.size() >= Vocab::kAtOnce) halves.answer();
  }
  halves.answer();
  std::vector<Merge>& merges = halves.merges;
  // Of one piece the shortest left half is first, as they were made. Most models have their pieces by score.
  const auto before = [](const Merge& a, const Merge& b) { return std::tie(a.rank, a.id) < std::tie(b.rank, b.id); };
  if (!std::ranges::is_sorted(merges, before)) std::ranges::stable_sort(merges, before);
  keep(merges, where, file.merges);

  const bool every_chunk = s.legacy.value_or(!s.says_legacy);
  file.rest = object({{"model", object({{"type", "BPE"},
                                        {"unk_token", model.unk_piece},
                                        {"fuse_unk", true},
                                        {"byte_fallback", model.byte_fallback},
                                        {"ignore_merges", !user_defined.empty()}})},
                      {"normalizer", normalizer_of(model, every_chunk, where)},
                      {"pre_tokenizer", pre_tokenizer_of(model, every_chunk, user_defined)},
                      {"decoder", decoder_of(model)}});
  const auto name = [&](std::int32_t id, const char* role, const std::string& piece, const char* otherwise) {
    if (id >= 0) s.named.try_emplace(role, special_mention(piece.empty() ? otherwise : piece));
  };
  name(model.bos_id, "bos_token", model.bos_piece, "<s>");
  name(model.eos_id, "eos_token", model.eos_piece, "</s>");
  name(model.unk_id, "unk_token", model.unk_piece, "<unk>");
  if (model.add_dummy_prefix) {  // so that each chunk between added tokens gets its own prefix
    for (auto& [id, mention] : s.added) mention.token.normalized = false;
  }
  return file;
}

void add_pieces_sought(const SentencePieceModel& model, bool user_defined, Settings& s) {
  s.additional.emplace();
  for (const auto& piece : model.pieces) {
    const bool control = piece.kind == SentencePieceModel::Kind::control;
    if (!control && !(user_defined && piece.kind == SentencePieceModel::Kind::user_defined)) continue;
    Mention m = special_mention(piece.text);
    m.text_alone = false;
    m.says_normalized = true;
    m.token.special = control;
    s.additional->push_back(std::move(m));
  }
}

}  // namespace pkv::text
