#include "text/gguf/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/nearest.h"
#include "text/json.h"
#include "text/sentencepiece.h"
#include "text/settings.h"

namespace pkv::text {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens", kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kScores = "tokenizer.ggml.scores", kMerges = "tokenizer.ggml.merges";
constexpr std::string_view kPre = "tokenizer.ggml.pre";
constexpr std::string_view kIds = "give token ids (--ids 1,2,3), or the model's own folder";

using TokenKind = SentencePieceModel::Kind;

struct Token {
  std::string_view text;
  TokenKind kind = TokenKind::normal;
};

// A place that a larger vocabulary of the model leaves empty.
bool is_padding(std::string_view text) {
  if (!text.starts_with("[PAD") || !text.ends_with("]") || text.size() < 6) return false;
  return std::ranges::all_of(text.substr(4, text.size() - 5), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<Token> read_tokens(const gguf::Metadata& m) {
  const std::vector<std::string_view> texts = m.texts(kTokens);
  if (texts.empty()) m.fail_missing(kTokens, std::string(kIds));
  if (texts.size() > static_cast<std::size_t>(INT32_MAX)) m.fail(kTokens, "fewer", std::to_string(texts.size()));
  const std::vector<std::int64_t> kinds = m.integers(kTypes, 1, 6);
  if (!kinds.empty() && kinds.size() != texts.size()) {
    m.fail(kTypes, fmt::format("{} numbers, one for each token", texts.size()), std::to_string(kinds.size()));
  }
  std::vector<Token> tokens;
  tokens.reserve(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const TokenKind kind = kinds.empty() ? TokenKind::normal : static_cast<TokenKind>(kinds[i]);
    tokens.push_back({texts[i], kind});
  }
  return tokens;
}

std::optional<std::int32_t> read_token_id(const gguf::Metadata& m, std::string_view role, std::size_t tokens) {
  const std::string key = fmt::format("tokenizer.ggml.{}_token_id", role);
  const auto id = m.integer(key, -1, UINT32_MAX);
  if (!id || *id == -1 || *id == UINT32_MAX) return std::nullopt;
  if (std::cmp_less(*id, tokens)) return static_cast<std::int32_t>(*id);
  m.fail(key, fmt::format("the id of a token, below {}", tokens), std::to_string(*id));
}

void note_if_twice(bool added, const gguf::Metadata& m, const std::vector<Token>& tokens, std::size_t id) {
  if (added) return;
  const auto first = std::ranges::find(tokens, tokens[id].text, &Token::text);
  fail_load({.what = "two tokens have the same text",
             .where = fmt::format("{}: {}", m.file(), kTokens),
             .found = fmt::format("{} with the ids {} and {}", quote(tokens[id].text), first - tokens.begin(), id)});
}

// "a b": the space between is the first behind the first character.
void add_listed_merge(const gguf::Metadata& m, MergeList& merges, std::string_view text, std::size_t number) {
  const std::size_t space = text.find(' ', 1);
  if (space == text.npos || space + 1 == text.size()) {
    m.fail(kMerges, "two tokens with a space between", fmt::format("merge {}: {}", number, quote(text)));
  }
  if (!merges.add(text.substr(0, space), text.substr(space + 1))) {
    m.fail(kMerges, fmt::format("at most {} merges", MergeList::kMost), std::to_string(number));
  }
}

const PreTokenization& read_words(const gguf::Metadata& m, std::vector<std::string>& notes) {
  const std::string name(m.text(kPre).value_or("default"));
  const PreTokenization* words = find_pre_tokenization(name);
  if (words == nullptr) {
    fail_load({.what = "unknown way of cutting text into words",
               .where = fmt::format("{}: {}", m.file(), kPre),
               .expected = fmt::format("one of {}", known_pre_tokenizations()),
               .found = quote(name),
               .hint = std::string(kIds)});
  }
  if (name == "default") {
    notes.push_back(
        fmt::format("{} does not say how text is cut into words ({}), as old files do not: the ids may be others than "
                    "the model was "
                    "trained with",
                    m.file(), kPre));
  }
  return *words;
}

TokenizerFile byte_level(const gguf::Metadata& m, const std::vector<Token>& tokens, const PreTokenization& words) {
  TokenizerFile file;
  std::size_t bytes = 0;
  for (const Token& t : tokens) bytes += t.text.size();
  file.vocab.reserve_bytes(bytes);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].text.empty() || is_padding(tokens[i].text)) continue;
    note_if_twice(file.vocab.add(tokens[i].text, static_cast<std::int32_t>(i)), m, tokens, i);
  }
  const std::vector<std::string_view> merges = m.texts(kMerges);
  if (merges.empty()) m.fail_missing(kMerges, std::string(kIds));
  for (std::size_t i = 0; i < merges.size(); ++i) add_listed_merge(m, file.merges, merges[i], i);
  file.has_vocab = file.has_merges = true;
  file.rest = read_json(
      fmt::format(R"({{"model":{{"type":"BPE","ignore_merges":{}}},"normalizer":{},)"
                  R"("pre_tokenizer":{{"type":"Sequence","pretokenizers":[{}]}},"decoder":{{"type":"ByteLevel"}}}})",
                  words.whole_words, words.normalizer.empty() ? "null" : words.normalizer, words.steps),
      m.file());
  return file;
}

TokenizerFile by_scores(const gguf::Metadata& m, const std::vector<Token>& tokens,
                        std::optional<std::int32_t> unknown) {
  const std::vector<float> scores = m.numbers(kScores);
  if (scores.size() != tokens.size()) {
    m.fail(kScores, fmt::format("{} numbers, one for each token", tokens.size()), std::to_string(scores.size()));
  }
  SentencePieceModel model;
  model.algorithm = SentencePieceModel::Algorithm::bpe;
  model.add_dummy_prefix = m.flag("tokenizer.ggml.add_space_prefix").value_or(true);
  model.remove_extra_whitespaces = m.flag("tokenizer.ggml.remove_extra_whitespaces").value_or(false);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!std::isfinite(scores[i])) m.fail(kScores, "finite numbers", fmt::format("{}", scores[i]));
    model.byte_fallback |= tokens[i].kind == TokenKind::byte;
    model.pieces.push_back({std::string(tokens[i].text), scores[i], tokens[i].kind});
  }
  model.unk_id = unknown.value_or(-1);
  model.unk_piece = unknown ? model.pieces[static_cast<std::size_t>(*unknown)].text : "";
  Settings settings;
  TokenizerFile file = tokenizer_of(model, settings, m.file());
  // What is user-defined is found as an added token, before anything else looks at the text.
  Json& parts = file.rest;
  if (!unknown) parts.members()["model"].members().erase("unk_token");
  return file;
}

// Control tokens and those of users, which are cut out of a text first.
std::vector<AddedToken> sought(const std::vector<Token>& tokens) {
  std::vector<AddedToken> added;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool control = tokens[i].kind == TokenKind::control;
    if ((!control && tokens[i].kind != TokenKind::user_defined) || tokens[i].text.empty()) continue;
    if (is_padding(tokens[i].text)) continue;
    added.push_back({.id = static_cast<std::int32_t>(i),
                     .content = std::string(tokens[i].text),
                     .normalized = false,
                     .special = control});
  }
  return added;
}

}  // namespace

Pipeline load_gguf(const gguf::Metadata& m) {
  if (const auto whole = m.text("tokenizer.huggingface.json"); whole && !whole->empty()) {
    return parse_tokenizer_json(*whole, m.file() + ": tokenizer.huggingface.json");
  }
  const auto kind = m.text("tokenizer.ggml.model");
  if (!kind || *kind == "none" || *kind == "no_vocab") {
    fail_load({.what = "there is no tokenizer here",
               .where = m.file(),
               .expected = "tokenizer.ggml.model",
               .hint = std::string(kIds)});
  }
  if (*kind != "gpt2" && *kind != "llama") {
    fail_load({.what = fmt::format("a tokenizer of the kind {} is not supported", *kind),
               .where = m.file() + ": tokenizer.ggml.model",
               .expected = "gpt2 or llama",
               .hint = std::string(kIds)});
  }
  const std::vector<Token> tokens = read_tokens(m);
  std::vector<std::string> notes;
  const bool by_score = *kind == "llama";
  const auto bos = read_token_id(m, "bos", tokens.size()), eos = read_token_id(m, "eos", tokens.size());
  const auto unknown = read_token_id(m, "unknown", tokens.size());
  bool adds_bos = by_score;
  TokenizerFile file;
  if (by_score) {
    file = by_scores(m, tokens, unknown);
  } else {
    const PreTokenization& words = read_words(m, notes);
    adds_bos = words.adds_bos;
    file = byte_level(m, tokens, words);
  }
  Pipeline p = make_pipeline(std::move(file), m.file());
  p.notes.insert(p.notes.end(), notes.begin(), notes.end());
  p.added.add(sought(tokens), p.bpe.vocab, p.normalizer.get(), fmt::format("{}: {}", m.file(), kTokens));
  p.post = {};
  if (m.flag("tokenizer.ggml.add_bos_token").value_or(adds_bos)) {
    if (!bos && m.has("tokenizer.ggml.add_bos_token")) m.fail_missing("tokenizer.ggml.bos_token_id");
    if (bos) p.post.parts.push_back({false, {*bos}});
  }
  p.post.parts.push_back({true, {}});
  if (m.flag("tokenizer.ggml.add_eos_token").value_or(false)) {
    if (!eos) m.fail_missing("tokenizer.ggml.eos_token_id");
    p.post.parts.push_back({false, {*eos}});
  }
  close(p, m.file());
  return p;
}

}  // namespace pkv::text
