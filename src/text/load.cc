#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "text/json.h"
#include "text/pipeline.h"

namespace pkv::text {
namespace {

constexpr std::uint64_t kLargestTokenizer = 256 << 20;
constexpr std::size_t kMostAddedBytes = 4 << 20;  // of all added tokens; finding them takes about 80 bytes for each

Bpe read_bpe(const JsonNode& model, TokenizerFile& file) {
  if (model.has("type") && model.type() != "BPE") model.at("type").refuse("this model is not supported", "BPE");
  model.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
              "byte_fallback", "ignore_merges"});
  if (!file.has_vocab) fail_load({.what = "is missing", .where = model.where() + ".vocab"});
  if (!file.has_merges) fail_load({.what = "is missing", .where = model.where() + ".merges"});
  if (model.has("dropout")) model.at("dropout").refuse("dropout makes encoding random and is not supported", "null");
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

AddedToken read_added_token(const JsonNode& node) {
  node.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken t;
  t.id = static_cast<std::int32_t>(node.at("id").integer(0, INT32_MAX));
  t.content = node.at("content").text();
  t.single_word = node.at("single_word").flag();
  t.lstrip = node.at("lstrip").flag();
  t.rstrip = node.at("rstrip").flag();
  t.normalized = node.at("normalized").flag();
  t.special = node.at("special").flag();
  return t;
}

[[noreturn]] void fail_added_bytes(std::string_view where) {
  fail_load({.what = "the added tokens are too long",
             .where = std::string(where),
             .expected = fmt::format("at most {} bytes together", kMostAddedBytes)});
}

std::vector<AddedToken> read_added_tokens(const JsonNode& root) {
  std::vector<AddedToken> tokens;
  if (!root.has("added_tokens")) return tokens;
  std::size_t bytes = 0;
  for (const JsonNode& n : root.at("added_tokens").elements()) {
    tokens.push_back(read_added_token(n));
    bytes += tokens.back().content.size();
    if (bytes > kMostAddedBytes) fail_added_bytes(n.where());
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
  if (const auto id = vocab.close()) {
    fail_load({.what = fmt::format("two tokens have the id {}", *id), .where = fmt::format("{}.vocab", where)});
  }
  bpe.vocab = std::move(vocab);
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const std::string_view left = merges.left(i), right = merges.right(i);
    const auto a = bpe.vocab.id(left), b = bpe.vocab.id(right);
    if (!a) fail_merge(where, i, "the left token", left);
    if (!b) fail_merge(where, i, "the right token", right);
    const std::size_t cut = bpe.continuing_subword_prefix.size();
    if (right.size() < cut) fail_merge(where, i, "the right token without prefix", right);
    const std::string both = std::string(left) + std::string(right.substr(cut));
    const auto merged = bpe.vocab.id(both);
    if (!merged) fail_merge(where, i, "the merged token", both);
    bpe.merges.set(*a, *b, {static_cast<std::uint32_t>(i), *merged});
  }
  bpe.prepare();
}

void set_added_tokens(Pipeline& p, std::vector<AddedToken> tokens, std::string_view where) {
  std::erase_if(tokens, [](const AddedToken& t) { return t.content.empty(); });
  std::int32_t next = p.bpe.vocab.size();
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    AddedToken& t = tokens[i];
    const auto known = p.bpe.vocab.id(t.content);
    const std::int32_t id = known ? *known : next++;
    if (t.id != id) {
      fail_load({.what = fmt::format("the id of added token {} does not follow from the vocabulary", quote(t.content)),
                 .where = fmt::format("{}[{}].id", where, i),
                 .expected = fmt::format("{}", id),
                 .found = fmt::format("{}", t.id),
                 .hint = "the tokenizers library would use the expected one and ignore the file's"});
    }
    auto form = t.normalized && p.normalizer ? p.normalizer->apply(t.content, kMostAddedBytes - bytes) : t.content;
    if (!form) fail_added_bytes(where);
    t.form = *std::move(form);
    if (t.form.empty()) fail_load({.what = "normalises to nothing", .where = fmt::format("{}[{}]", where, i)});
    bytes += t.form.size();
    if (bytes > kMostAddedBytes) fail_added_bytes(where);
  }
  if (const auto twice = p.added.set(std::move(tokens))) {
    fail_load({.what = fmt::format("two added tokens would match {}", quote(*twice)), .where = std::string(where)});
  }
}

Pipeline parse_tokenizer_json(std::string_view json, std::string_view name) {
  TokenizerFile file = read_tokenizer_json(json, name);
  const JsonNode root(file.rest, std::string(name));
  if (!root.is_object()) root.wrong("an object");
  root.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
             "decoder", "model"});
  if (root.has("version") && root.at("version").text() != "1.0") root.at("version").refuse("not supported", "1.0");
  Pipeline p;
  // Both are the caller's affair: transformers overrides whatever the file says.
  if (root.has("truncation")) p.notes.push_back(fmt::format("{}: truncation is not applied: texts stay whole", name));
  if (root.has("padding")) p.notes.push_back(fmt::format("{}: padding is not applied: no tokens are added", name));
  p.bpe = read_bpe(root.at("model"), file);
  if (root.has("normalizer")) p.normalizer = make_normalizer(root.at("normalizer"));
  if (root.has("pre_tokenizer")) p.pre_tokenizer = make_pre_tokenizer(root.at("pre_tokenizer"));
  p.post = root.has("post_processor") ? make_post_processor(root.at("post_processor")) : no_template();
  p.decoder = root.has("decoder") ? make_decoder(root.at("decoder")) : joining_with_spaces();
  set_added_tokens(p, read_added_tokens(root), fmt::format("{}: added_tokens", name));
  return p;
}

Pipeline load_tokenizer_json(const std::filesystem::path& file) {
  return parse_tokenizer_json(MappedFile(file, kLargestTokenizer).text(), file.string());
}

}  // namespace pkv::text
