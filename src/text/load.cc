#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/cuts.h"
#include "text/json.h"
#include "text/pipeline.h"
#include "text/settings.h"

namespace pkv::text {
namespace {

void read_unigram(const JsonNode& model, TokenizerFile& file, Pipeline& p) {
  model.only({"type", "unk_id", "byte_fallback"});
  if (!file.has_vocab) fail_load({.what = "is missing", .where = model.where() + ".vocab"});
  if (!file.vocab_is_list || file.scores.empty()) {
    fail_load({.what = "is no vocabulary of a Unigram model",
               .where = model.where() + ".vocab",
               .expected = "a list of pieces and scores"});
  }
  std::optional<std::int32_t> unk_id;
  const auto last = static_cast<std::int64_t>(file.scores.size()) - 1;
  if (model.has("unk_id")) unk_id = static_cast<std::int32_t>(model.at("unk_id").integer(0, last));
  p.bpe.vocab = std::move(file.vocab);
  p.bpe.vocab.close();
  p.unigram.emplace(p.bpe.vocab, std::move(file.scores), unk_id, model.flag_or("byte_fallback", false));
}

void require_object(const TokenizerFile& file, const JsonNode& model) {
  if (!file.vocab_is_list) return;
  fail_load({.what = "is not a vocabulary",
             .where = model.where() + ".vocab",
             .expected = "an object of tokens and ids",
             .found = "a list, as Unigram models have it"});
}

void close_vocab(Vocab& vocab, std::string_view where) {
  if (const auto id = vocab.close()) {
    fail_load({.what = fmt::format("two tokens have the id {}", *id), .where = fmt::format("{}.vocab", where)});
  }
}

void read_wordpiece(const JsonNode& model, TokenizerFile& file, Pipeline& p) {
  model.only({"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"});
  if (!file.has_vocab) fail_load({.what = "is missing", .where = model.where() + ".vocab"});
  require_object(file, model);
  p.bpe.vocab = std::move(file.vocab);
  close_vocab(p.bpe.vocab, model.where());
  std::int64_t most = 100;
  if (model.has("max_input_chars_per_word")) {
    most = model.at("max_input_chars_per_word").integer(0, WordPiece::kMostCharacters);
  }
  p.wordpiece.emplace(p.bpe.vocab, model.text_or("unk_token", "[UNK]"),
                      model.text_or("continuing_subword_prefix", "##"), most);
}

Bpe read_bpe(const JsonNode& model, TokenizerFile& file) {
  if (model.has("type") && model.type() != "BPE") {
    fail_load({.what = fmt::format("a tokenizer of the kind {} is not supported", model.type()),
               .where = model.where_of("type"),
               .expected = "BPE, Unigram or WordPiece"});
  }
  require_object(file, model);
  model.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
              "byte_fallback", "ignore_merges"});
  if (!file.has_vocab) fail_load({.what = "is missing", .where = model.where() + ".vocab"});
  if (!file.has_merges) fail_load({.what = "is missing", .where = model.where() + ".merges"});
  if (model.has("dropout") && model.at("dropout").number() != 0) {
    model.at("dropout").refuse("dropout makes encoding random and is not supported", "null or 0");
  }
  Bpe bpe;
  if (model.has("unk_token")) bpe.unk_token = model.at("unk_token").text();
  bpe.continuing_subword_prefix = model.text_or("continuing_subword_prefix", "");
  bpe.end_of_word_suffix = model.text_or("end_of_word_suffix", "");
  bpe.fuse_unk = model.flag_or("fuse_unk", false);
  bpe.byte_fallback = model.flag_or("byte_fallback", false);
  bpe.ignore_merges = model.flag_or("ignore_merges", false);
  set_vocab_and_merges(bpe, std::move(file.vocab), file.merges, model.where());
  return bpe;
}

std::vector<AddedToken> read_added_tokens(const JsonNode& root) {
  std::vector<AddedToken> tokens;
  std::size_t bytes = 0;
  if (!root.has("added_tokens")) return tokens;
  for (const JsonNode& n : root.at("added_tokens").elements()) {
    tokens.push_back(read_added_token(n));
    bytes += tokens.back().content.size();
    if (bytes > AddedTokens::kMostBytes) {
      fail_load({.what = "the added tokens are too long",
                 .where = n.where(),
                 .expected = fmt::format("at most {} bytes together", AddedTokens::kMostBytes)});
    }
  }
  return tokens;
}

[[noreturn]] void fail_merge(std::string_view where, std::size_t i, std::string_view what, std::string_view token) {
  fail_load({.what = fmt::format("{} is not in the vocabulary", what),
             .where = fmt::format("{}.merges[{}]", where, i),
             .found = quote(token)});
}

}  // namespace

void set_vocab_and_merges(Bpe& bpe, Vocab vocab, const MergeList& merges, std::string_view where) {
  close_vocab(vocab, where);
  bpe.vocab = std::move(vocab);
  bpe.merges.reserve(merges.size());
  std::string both;
  std::int32_t next = 0;  // the id of the last merged token
  std::vector<std::string_view> halves;
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const std::size_t at = i % (Vocab::kAtOnce / 2);
    if (at == 0) {
      halves.clear();
      for (std::size_t k = i; k < std::min(i + Vocab::kAtOnce / 2, merges.size()); ++k) {
        halves.insert(halves.end(), {merges.left(k), merges.right(k)});
      }
      ids.resize(halves.size());
      bpe.vocab.ids(halves, ids);
      for (std::size_t k = 0; k < ids.size(); k += 2) bpe.merges.prefetch(ids[k], ids[k + 1]);
    }
    const std::string_view left = halves[2 * at], right = halves[2 * at + 1];
    const std::int32_t a = ids[2 * at], b = ids[2 * at + 1];
    if (a < 0) fail_merge(where, i, "the left token", left);
    if (b < 0) fail_merge(where, i, "the right token", right);
    const std::size_t cut = bpe.continuing_subword_prefix.size();
    if (right.size() < cut) fail_merge(where, i, "the right token without prefix", right);
    both.assign(left) += right.substr(cut);
    // Files list the ways to make a token one after the other, and tokens in the order of their ids.
    if (bpe.vocab.token(next) != both) next += next < INT32_MAX;
    if (bpe.vocab.token(next) != both) {
      const auto merged = bpe.vocab.id(both);
      if (!merged) fail_merge(where, i, "the merged token", both);
      next = *merged;
    }
    bpe.merges.set(a, b, {merges.rank(i), next});
  }
  bpe.prepare();
}

void note_other_ids(Pipeline& p, const std::vector<AddedToken>& stated, std::string_view where) {
  std::size_t others = 0;
  const AddedToken* first = nullptr;
  for (const AddedToken& t : stated) {
    const AddedToken* given = p.added.find(std::string_view(t.content));
    if (given == nullptr || given->id == t.id) continue;
    if (first == nullptr) first = &t;
    ++others;
  }
  if (first == nullptr) return;
  p.notes.push_back(
      fmt::format("{}: {} has the id {} there, but gets {} by the order in which tokens are added{}: so "
                  "does transformers",
                  where, quote(first->content), first->id, p.added.find(std::string_view(first->content))->id,
                  others > 1 ? fmt::format("; so do {} more", others - 1) : ""));
}

void close(Pipeline& p, std::string_view name) {
  if (const auto twice = p.added.close()) {
    p.notes.push_back(
        fmt::format("{}: two added tokens match {}: the first one is taken, where the tokenizers library "
                    "takes either",
                    name, quote(*twice)));
  }
  p.cuts = find_cut_before(p);
}

Pipeline make_pipeline(TokenizerFile file, std::string_view name) {
  const JsonNode root(file.rest, std::string(name));
  if (!root.is_object()) root.wrong("an object");
  root.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
             "decoder", "model"});
  if (root.has("version") && root.at("version").text() != "1.0") root.at("version").refuse("not supported", "1.0");
  Pipeline p;
  // Both are the caller's affair: transformers overrides whatever the file says.
  if (root.has("truncation")) p.notes.push_back(fmt::format("{}: truncation is not applied: texts stay whole", name));
  if (root.has("padding")) p.notes.push_back(fmt::format("{}: padding is not applied: no tokens are added", name));
  const JsonNode model = root.at("model");
  if (model.has("type") && model.type() == "Unigram") {
    read_unigram(model, file, p);
  } else if (model.has("type") && model.type() == "WordPiece") {
    read_wordpiece(model, file, p);
  } else {
    p.bpe = read_bpe(model, file);
  }
  if (root.has("normalizer")) p.normalizer = make_normalizer(root.at("normalizer"));
  if (root.has("pre_tokenizer")) p.pre_tokenizer = make_pre_tokenizer(root.at("pre_tokenizer"));
  p.post = root.has("post_processor") ? make_post_processor(root.at("post_processor")) : no_template();
  p.decoder = root.has("decoder") ? make_decoder(root.at("decoder")) : joining_with_spaces();
  const auto added = read_added_tokens(root);
  p.added.add(added, p.bpe.vocab, p.normalizer.get(), fmt::format("{}: added_tokens", name));
  note_other_ids(p, added, fmt::format("{}: added_tokens", name));
  return p;
}

Pipeline parse_tokenizer_json(std::string_view json, std::string_view name) {
  Pipeline p = make_pipeline(read_tokenizer_json(json, name), name);
  close(p, name);
  return p;
}

}  // namespace pkv::text
