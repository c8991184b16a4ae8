// The older layout of a folder: vocab.json and merges.txt, with the class and the special tokens in
// tokenizer_config.json, special_tokens_map.json and added_tokens.json. Builds what transformers 5 builds for its
// classes GPT2Tokenizer and RobertaTokenizer, which says in code what tokenizer.json says in data.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "text/json.h"
#include "text/pipeline.h"

namespace pkv::text {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargestFile = 256 << 20;

enum class Family { gpt2, roberta };

struct Named {
  std::string_view key, gpt2, roberta;  // the token of each family when no file names one
};
// In the order in which transformers adds those that the vocabulary lacks.
constexpr Named kNamed[] = {{"bos_token", "<|endoftext|>", "<s>"},
                            {"eos_token", "<|endoftext|>", "</s>"},
                            {"unk_token", "<|endoftext|>", "<unk>"},
                            {"sep_token", "", "</s>"},
                            {"pad_token", "", "<pad>"},
                            {"cls_token", "", "<s>"},
                            {"mask_token", "", "<mask>"}};

// A JSON file of the folder; an empty object when there is none.
struct Document {
  Json value = Json::Object();
  std::string where;

  Document(const fs::path& folder, std::string_view name) : where((folder / name).string()) {
    const fs::path file = folder / name;
    if (is_present(file)) value = read_json(MappedFile(file, kLargestFile).text(), file.string());
  }
  JsonNode node() const { return JsonNode(value, where); }
};

Family family_named(const JsonNode& node) {
  const std::string& name = node.text();
  if (name.starts_with("GPT2Tokenizer") || name == "gpt2") return Family::gpt2;
  if (name.starts_with("RobertaTokenizer") || name == "roberta") return Family::roberta;
  node.refuse("a tokenizer of this class needs a tokenizer.json", "GPT2Tokenizer or RobertaTokenizer");
}

Family find_family(const fs::path& folder, const JsonNode& config) {
  if (config.has("tokenizer_class")) return family_named(config.at("tokenizer_class"));
  const Document model(folder, "config.json");
  if (model.node().has("tokenizer_class")) return family_named(model.node().at("tokenizer_class"));
  if (model.node().has("model_type")) return family_named(model.node().at("model_type"));
  fail_load({.what = "nothing says whether this is a GPT-2 or a RoBERTa tokenizer",
             .where = folder.string(),
             .hint = "add tokenizer_class to tokenizer_config.json, or save the tokenizer with tokenizer.json"});
}

AddedToken special_token(std::string content) {
  AddedToken t;
  t.content = std::move(content);
  t.normalized = false;
  t.special = true;
  return t;
}

// "<s>" or {"content": "<s>", "lstrip": false, ...}
AddedToken read_token(const JsonNode& node, bool special) {
  if (node.is_text()) return special_token(node.text());
  node.only({"content", "lstrip", "rstrip", "single_word", "normalized", "special", "__type"});
  AddedToken t = special_token(node.at("content").text());
  t.special = special || node.flag_or("special", false);
  t.normalized = node.flag_or("normalized", !t.special);
  t.lstrip = node.flag_or("lstrip", false);
  t.rstrip = node.flag_or("rstrip", false);
  t.single_word = node.flag_or("single_word", false);
  return t;
}

// The tokens of a folder by role ("cls_token"), and those without one.
struct Specials {
  std::map<std::string_view, AddedToken> named;
  std::vector<AddedToken> others;

  std::unordered_set<std::string_view> contents() const {
    std::unordered_set<std::string_view> all;
    for (const auto& [role, t] : named) all.insert(t.content);
    for (const AddedToken& t : others) all.insert(t.content);
    return all;
  }
};

void read_specials(const JsonNode& node, Specials& specials) {
  for (const Named& n : kNamed) {
    if (node.has(n.key)) specials.named[n.key] = read_token(node.at(n.key), true);
    if (node.is_null_at(n.key)) specials.named.erase(n.key);
  }
  for (const std::string_view list : {"additional_special_tokens", "extra_special_tokens"}) {
    if (!node.has(list)) continue;
    for (const JsonNode& t : node.at(list).elements()) specials.others.push_back(read_token(t, true));
  }
}

// By id. A token of added_tokens.json is special if it has a role.
std::map<std::int32_t, AddedToken> read_added(const fs::path& folder, const JsonNode& config,
                                              const Specials& specials) {
  std::map<std::int32_t, AddedToken> added;
  if (config.has("added_tokens_decoder")) {
    for (const auto& [key, node] : config.at("added_tokens_decoder").members()) {
      const bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
      if (!number) node.refuse("the key is not an id");
      added[std::stoi(key)] = read_token(node, false);
    }
    return added;
  }
  const Document document(folder, "added_tokens.json");
  const std::unordered_set<std::string_view> special = specials.contents();
  for (const auto& [content, node] : document.node().members()) {
    const auto id = static_cast<std::int32_t>(node.integer(0, INT32_MAX));
    if (added.contains(id)) node.refuse("two added tokens have this id");
    AddedToken t = special_token(content);
    t.special = special.contains(content);
    t.normalized = !t.special;
    added[id] = t;
  }
  return added;
}

Specials find_specials(const fs::path& folder, Family family, const JsonNode& config) {
  Specials specials;
  for (const Named& n : kNamed) {
    const std::string_view content = family == Family::gpt2 ? n.gpt2 : n.roberta;
    if (!content.empty()) specials.named[n.key] = special_token(std::string(content));
  }
  read_specials(config, specials);
  if (!config.has("added_tokens_decoder")) {
    const Document map(folder, "special_tokens_map.json");
    read_specials(map.node(), specials);
  }
  return specials;
}

// Those with stated ids first, then the specials that are not among them, each with the id that it will get.
std::vector<AddedToken> in_order(const Vocab& vocab, std::map<std::int32_t, AddedToken> added,
                                 const Specials& specials) {
  std::vector<AddedToken> tokens;
  std::unordered_set<std::string> contents;
  std::int32_t next = vocab.size();
  for (auto& [id, t] : added) {
    t.id = id;
    tokens.push_back(std::move(t));
    contents.insert(tokens.back().content);
    if (!vocab.id(tokens.back().content)) ++next;
  }
  const auto add = [&](AddedToken t) {
    if (!contents.insert(t.content).second) return;
    const auto known = vocab.id(t.content);
    t.id = known ? *known : next++;
    tokens.push_back(std::move(t));
  };
  for (const Named& n : kNamed) {
    if (const auto it = specials.named.find(n.key); it != specials.named.end()) add(it->second);
  }
  for (const AddedToken& t : specials.others) add(t);
  return tokens;
}

MergeList read_merges(const fs::path& file) {
  const MappedFile mapped(file, kLargestFile);
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

Template::Part special_part(const Pipeline& p, const JsonNode& config, const Specials& specials,
                            std::string_view role) {
  const auto it = specials.named.find(role);
  const AddedToken* t = it == specials.named.end() ? nullptr : p.added.find(std::string_view(it->second.content));
  if (t == nullptr) {
    fail_load({.what = fmt::format("there is no {} to put around a text", role), .where = config.where()});
  }
  return {false, {t->id}};
}

Template frame(const Pipeline& p, Family family, const JsonNode& config, const Specials& specials) {
  const Template::Part text{true, {}};
  if (family == Family::roberta) {
    return {{special_part(p, config, specials, "cls_token"), text, special_part(p, config, specials, "sep_token")}};
  }
  Template t;
  if (config.flag_or("add_bos_token", false)) t.parts.push_back(special_part(p, config, specials, "bos_token"));
  t.parts.push_back(text);
  if (config.flag_or("add_eos_token", false)) t.parts.push_back(special_part(p, config, specials, "eos_token"));
  return t;
}

}  // namespace

Pipeline load_vocab_and_merges(const fs::path& folder) {
  const fs::path vocab_file = folder / "vocab.json", merges_file = folder / "merges.txt";
  if (!is_present(vocab_file) || !is_present(merges_file)) {
    fail_load({.what = "there is no tokenizer here",
               .where = folder.string(),
               .expected = "tokenizer.json, or vocab.json and merges.txt",
               .hint = "save the tokenizer beside the model with tokenizer.save_pretrained"});
  }
  const Document document(folder, "tokenizer_config.json");
  const JsonNode config = document.node();
  const Family family = find_family(folder, config);
  const Specials specials = find_specials(folder, family, config);
  Pipeline p;
  Vocab vocab;
  read_vocab_json(MappedFile(vocab_file, kLargestFile).text(), vocab_file.string(), vocab);
  set_vocab_and_merges(p.bpe, std::move(vocab), read_merges(merges_file), folder.string() + ": model");
  p.pre_tokenizer = byte_level(config.flag_or("add_prefix_space", false));
  p.decoder = byte_level_decoder();
  set_added_tokens(p, in_order(p.bpe.vocab, read_added(folder, config, specials), specials),
                   folder.string() + ": added tokens");
  p.post = frame(p, family, config, specials);
  return p;
}

}  // namespace pkv::text
