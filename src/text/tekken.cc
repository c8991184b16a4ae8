#include "text/tekken.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "text/base64.h"
#include "text/byte_alphabet.h"
#include "text/json.h"

namespace pkv::text {
namespace {

constexpr std::size_t kLongestTekkenToken = 1 << 10;  // bytes; in real files up to 128
constexpr std::int64_t kMostTekkenTokens = 1 << 22;

// Of files that list none; of version 7 and before.
constexpr std::array<std::string_view, 20> kFirstSpecials{"<unk>",
                                                          "<s>",
                                                          "</s>",
                                                          "[INST]",
                                                          "[/INST]",
                                                          "[AVAILABLE_TOOLS]",
                                                          "[/AVAILABLE_TOOLS]",
                                                          "[TOOL_RESULTS]",
                                                          "[/TOOL_RESULTS]",
                                                          "[TOOL_CALLS]",
                                                          "[IMG]",
                                                          "<pad>",
                                                          "[IMG_BREAK]",
                                                          "[IMG_END]",
                                                          "[PREFIX]",
                                                          "[MIDDLE]",
                                                          "[SUFFIX]",
                                                          "[SYSTEM_PROMPT]",
                                                          "[/SYSTEM_PROMPT]",
                                                          "[TOOL_CONTENT]"};

std::vector<std::string> read_specials(const JsonNode& root, std::int64_t number) {
  std::vector<std::string> specials(static_cast<std::size_t>(number));
  if (!root.has("special_tokens")) {
    for (std::size_t i = 0; i < std::min(specials.size(), kFirstSpecials.size()); ++i) specials[i] = kFirstSpecials[i];
  } else {
    for (const JsonNode& n : root.at("special_tokens").elements()) {
      n.only({"rank", "token_str", "is_control"});
      std::string& special = specials[static_cast<std::size_t>(n.at("rank").integer(0, number - 1))];
      if (!special.empty()) n.at("rank").refuse("two special tokens have this rank");
      special = n.at("token_str").text();
    }
  }
  for (std::size_t i = 0; i < specials.size(); ++i) {
    if (specials[i].empty()) specials[i] = fmt::format("<SPECIAL_{}>", i);
  }
  return specials;
}

// Tokens as bytes, by rank; those beyond the vocabulary's size are padding.
std::vector<std::string> read_ranks(const JsonNode& vocab, std::int64_t size) {
  std::vector<std::string> tokens;
  for (const JsonNode& n : vocab.elements()) {
    if (std::ssize(tokens) == size) break;
    n.only({"rank", "token_bytes", "token_str"});
    const std::int64_t rank = std::ssize(tokens);
    if (n.at("rank").integer(0, INT32_MAX) != rank) n.at("rank").wrong(fmt::format("{}", rank));
    tokens.push_back(decode_base64(n.at("token_bytes"), kLongestTekkenToken));
    const std::string byte(1, static_cast<char>(rank));
    if (rank < 256 && tokens.back() != byte) n.at("token_bytes").refuse("the first 256 tokens are not the bytes");
  }
  if (std::ssize(tokens) != size || size < 256)
    vocab.refuse(fmt::format("there are {} tokens", tokens.size()), fmt::format("{}", size));
  return tokens;
}

// Any two tokens that make up a third merge, at its rank.
void add_merges_of(const std::vector<std::string>& tokens, TokenizerFile& file, std::string_view where) {
  std::unordered_map<std::string_view, std::size_t> ranks;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!ranks.emplace(tokens[i], i).second) {
      fail_load({.what = "two tokens are of the same bytes", .where = fmt::format("{}: vocab[{}]", where, i)});
    }
  }
  for (std::size_t rank = 0; rank < tokens.size(); ++rank) {
    const std::string_view token = tokens[rank];
    for (std::size_t at = 1; at < token.size(); ++at) {
      if (!ranks.contains(token.substr(0, at)) || !ranks.contains(token.substr(at))) continue;
      const bool kept = file.merges.add(spell_bytes(token.substr(0, at)), spell_bytes(token.substr(at)),
                                        static_cast<std::uint32_t>(rank));
      if (!kept) fail_load({.what = "too many merges", .where = fmt::format("{}: vocab", where)});
    }
  }
}

void note_unknown(const JsonNode& node, std::initializer_list<std::string_view> known, Pipeline& p) {
  for (const auto& [key, value] : node.members()) {
    if (std::find(known.begin(), known.end(), key) != known.end() || value.is_null()) continue;
    p.notes.push_back(fmt::format("{}: unknown key ignored", value.where()));
  }
}

Json parts_with(const std::string& pattern) {
  const auto object = [](Json::Object members) { return Json(std::move(members)); };
  return object(
      {{"model", object({{"type", "BPE"}, {"ignore_merges", true}})},
       {"pre_tokenizer", object({{"type", "Sequence"},
                                 {"pretokenizers", Json::Array{object({{"type", "Split"},
                                                                       {"pattern", object({{"Regex", pattern}})},
                                                                       {"behavior", "Isolated"},
                                                                       {"invert", false}}),
                                                               object({{"type", "ByteLevel"},
                                                                       {"add_prefix_space", false},
                                                                       {"trim_offsets", true},
                                                                       {"use_regex", false}})}}})},
       {"decoder", object({{"type", "ByteLevel"}})}});
}

}  // namespace

Pipeline parse_tekken(std::string_view text, std::string_view where) {
  const Json document = read_json(text, where);
  const JsonNode root(document, std::string(where)), config = root.at("config");
  const std::int64_t number = config.at("default_num_special_tokens").integer(1, kMostTekkenTokens);
  const std::int64_t size = config.at("default_vocab_size").integer(number, kMostTekkenTokens);
  const std::vector<std::string> specials = read_specials(root, number),
                                 tokens = read_ranks(root.at("vocab"), size - number);
  TokenizerFile file;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    file.vocab.add(spell_bytes(tokens[i]), static_cast<std::int32_t>(number) + static_cast<std::int32_t>(i));
  }
  add_merges_of(tokens, file, where);
  file.has_vocab = file.has_merges = true;
  file.rest = parts_with(config.at("pattern").text());
  Pipeline p = make_pipeline(std::move(file), where);
  note_unknown(root, {"config", "vocab", "special_tokens", "version", "type", "image", "multimodal", "audio"}, p);
  note_unknown(config, {"pattern", "num_vocab_tokens", "default_vocab_size", "default_num_special_tokens", "version"},
               p);
  std::vector<AddedToken> added;
  for (std::size_t i = 0; i < specials.size(); ++i) {
    added.push_back({.id = static_cast<std::int32_t>(i), .content = specials[i], .normalized = false, .special = true});
  }
  p.added.add_by_id(std::move(added), where);
  p.added.split_special_tokens(true);
  const AddedToken* bos = p.added.find(std::string_view("<s>"));
  if (bos == nullptr) fail_load({.what = "there is no <s> among the special tokens", .where = std::string(where)});
  p.post = {{{false, {bos->id}}, {true, {}}}};
  close(p, where);
  p.notes.push_back(
      fmt::format("{}: special tokens that a text spells out are split into pieces, as by mistral-common", where));
  return p;
}

}  // namespace pkv::text
