#include "text/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/error.h"
#include "base/file.h"
#include "text/json.h"

namespace pkv::text {
namespace {

// A JSON file of the folder; an empty object when there is none.
struct Document {
  Json value = Json::Object();
  std::string where;

  Document(const std::filesystem::path& folder, std::string_view name) : where((folder / name).string()) {
    const std::filesystem::path file = folder / name;
    if (is_present(file)) value = read_json(MappedFile(file, kLargestTokenizerFile).text(), file.string());
    if (!value.is_object()) node().wrong("an object");
  }
  JsonNode node() const { return JsonNode(value, where); }
};

// {"content": "<s>", "lstrip": false, ...}, with `special` if it says so itself or as `special` says.
Mention read_flags(const JsonNode& node, bool special) {
  node.only({"content", "lstrip", "rstrip", "single_word", "normalized", "special", "__type"});
  Mention m;
  m.text_alone = false;
  m.token.content = node.at("content").text();
  m.token.special = special || node.flag_or("special", false);
  m.says_normalized = node.has("normalized");
  m.token.normalized = node.flag_or("normalized", !m.token.special);
  m.token.lstrip = node.flag_or("lstrip", false);
  m.token.rstrip = node.flag_or("rstrip", false);
  m.token.single_word = node.flag_or("single_word", false);
  return m;
}

Mention read_mention(const JsonNode& node, bool special) {
  return node.is_text() ? special_mention(node.text()) : read_flags(node, special);
}

bool is_role(std::string_view key) { return std::find(kRoles.begin(), kRoles.end(), key) != kRoles.end(); }

std::vector<Mention> read_list(const JsonNode& node, bool special) {
  std::vector<Mention> list;
  for (const JsonNode& n : node.elements()) list.push_back(read_mention(n, special));
  return list;
}

void set_model_specific(Settings& s, const std::string& name, Mention mention) {
  const auto old = std::find_if(s.model_specific.begin(), s.model_specific.end(),
                                [&](const auto& named) { return named.first == name; });
  if (old == s.model_specific.end()) {
    s.model_specific.emplace_back(name, std::move(mention));
  } else {
    old->second = std::move(mention);
  }
}

// {"image_token": "<image>"}: named tokens in the place of extra ones.
void read_named_extra(const JsonNode& node, Settings& s) {
  for (const auto& [name, value] : node.members()) set_model_specific(s, name, read_mention(value, false));
}

// Any further key that ends in "_token" and holds a token names one: "image_token". As text in tokenizer_config.json it
// stands with those of extra_special_tokens; spelled with flags, or in special_tokens_map.json, before all others.
void read_further_names(const JsonNode& node, bool of_map, Settings& s) {
  std::vector<std::pair<std::string, Mention>> before;
  for (const auto& [key, value] : node.members()) {
    if (!key.ends_with("_token") || is_role(key)) continue;
    if (value.is_text() && !of_map) {
      set_model_specific(s, key, special_mention(value.text()));
    } else if (value.is_text() || (value.is_object() && value.has("content"))) {
      before.emplace_back(key, read_mention(value, of_map));
    }
  }
  put_before(s, std::move(before));
}

void read_roles(const JsonNode& node, bool special, Settings& s) {
  for (const std::string_view role : kRoles) {
    if (node.has(role)) s.named[std::string(role)] = read_mention(node.at(role), special);
    if (node.is_null_at(role)) s.named[std::string(role)] = std::nullopt;
  }
}

bool says_something(const JsonNode& node, std::string_view key) {
  const auto found = node.find(key);
  return found && found->value().size() > 0;
}

// extra_special_tokens, and additional_special_tokens as it was called before.
void read_extra(const JsonNode& config, Settings& s) {
  const bool older = config.has("additional_special_tokens");
  if (older && !says_something(config, "extra_special_tokens")) {
    s.extra = read_list(config.at("additional_special_tokens"), false);
    return;
  }
  if (older) s.additional = read_list(config.at("additional_special_tokens"), false);
  const auto extra = config.find("extra_special_tokens");
  if (!extra) return;
  if (extra->is_object()) return read_named_extra(*extra, s);
  s.extra = extra->is_null() ? std::vector<Mention>() : read_list(*extra, false);
}

std::int32_t read_id_key(const std::string& key, const JsonNode& node) {
  const bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
  if (!number) node.refuse("the key is not an id");
  return std::stoi(key);
}

void read_special_tokens_map(const JsonNode& map, Settings& s) {
  read_roles(map, true, s);
  read_further_names(map, true, s);
  if (map.has("additional_special_tokens")) s.additional = read_list(map.at("additional_special_tokens"), false);
  if (!map.has("extra_special_tokens")) return;
  const JsonNode extra = map.at("extra_special_tokens");
  if (extra.is_object()) return read_named_extra(extra, s);
  if (!s.extra) s.extra.emplace();
  for (Mention& m : read_list(extra, true)) {
    if (std::find(s.extra->begin(), s.extra->end(), m) == s.extra->end()) s.extra->push_back(std::move(m));
  }
}

// What transformers takes for special when it reads added_tokens.json: tokens with a role and extra ones, but for those
// whose flags tokenizer_config.json spells out and those that special_tokens_map.json calls additional.
std::unordered_set<std::string> special_contents(const JsonNode& map, const Settings& s) {
  std::unordered_set<std::string> contents;
  for (const auto& [role, mention] : s.named) {
    if (mention && (mention->text_alone || map.has(role))) contents.insert(mention->token.content);
  }
  for (const Mention& m : s.extra.value_or(std::vector<Mention>())) {
    if (m.text_alone || map.has("extra_special_tokens")) contents.insert(m.token.content);
  }
  return contents;
}

// {"<pad>": 300}
void read_added_tokens_json(const JsonNode& node, const std::unordered_set<std::string>& special, Settings& s) {
  for (const auto& [content, value] : node.members()) {
    const auto id = static_cast<std::int32_t>(value.integer(0, INT32_MAX));
    if (s.added.contains(id)) value.refuse("two added tokens have this id");
    Mention m = special_mention(content);
    m.text_alone = false;
    m.says_normalized = true;
    m.token.special = special.contains(content);
    m.token.normalized = !m.token.special;
    s.added[id] = std::move(m);
  }
}

void read_added_tokens_of(const Json& tokenizer_json, Settings& s) {
  const Json* list = tokenizer_json.find("added_tokens");
  if (list == nullptr || !list->is_array()) return;
  for (const Json& entry : list->elements()) {
    const AddedToken t = read_added_token(JsonNode(entry, "tokenizer.json", "added_tokens"));
    s.added[t.id] = {t, false, true};
  }
}

// A named token that is among the added ones has their flags.
void take_flags_of_added(Settings& s) {
  std::map<std::string_view, const Mention*> by_content;
  for (const auto& [id, m] : s.added) by_content[m.token.content] = &m;
  for (auto& [role, mention] : s.named) {
    if (!mention) continue;
    const auto found = by_content.find(mention->token.content);
    if (found != by_content.end()) mention = *found->second;
  }
}

void read_flags_of_config(const JsonNode& config, bool has_tokenizer_json, Settings& s) {
  // The post-processor of a tokenizer.json says it otherwise.
  const auto said = [&](const char* key) {
    return config.has(key) ? std::optional(config.at(key).flag()) : std::nullopt;
  };
  (has_tokenizer_json ? s.unused_add_bos : s.add_bos) = said("add_bos_token");
  (has_tokenizer_json ? s.unused_add_eos : s.add_eos) = said("add_eos_token");
  s.says_add_prefix_space = config.has("add_prefix_space");
  s.add_prefix_space = config.flag_or("add_prefix_space", false);
  s.says_legacy = config.find("legacy").has_value();
  if (config.has("legacy")) s.legacy = config.at("legacy").flag();
  s.do_lower_case = config.flag_or("do_lower_case", true);
  s.tokenize_chinese_chars = config.flag_or("tokenize_chinese_chars", true);
  s.strip_accents = said("strip_accents");
  s.split_special_tokens = config.flag_or("split_special_tokens", false);
  s.clean_up_spaces = config.flag_or("clean_up_tokenization_spaces", false);
  s.clean_up_even_bpe =
      config.flag_or("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", false);
  if (config.flag_or("fix_mistral_regex", false)) {
    config.at("fix_mistral_regex").refuse("another pre-tokenizer than tokenizer.json's is not supported", "false");
  }
}

// Keys of tokenizer_config.json beside those that are read above, and of special_tokens_map.json: they have no
// influence on the ids of a whole text, nor on the text of ids.
constexpr std::array kWithoutInfluence = std::to_array<std::string_view>({
    // Where it comes from, and which program wrote it.
    "_commit_hash",
    "_name_or_path",
    "auto_map",
    "backend",
    "from_slow",
    "init_inputs",
    "is_local",
    "local_files_only",
    "merges_file",
    "name_or_path",
    "processor_class",
    "special_tokens_map_file",
    "spm_file",
    "tokenizer_class",
    "tokenizer_file",
    "tokenizer_type",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_fast",
    "verbose",
    "vocab_file",
    // What the caller may ask for: other lengths, other arrays.
    "max_length",
    "model_input_names",
    "model_max_length",
    "pad_to_multiple_of",
    "pad_token_type_id",
    "padding",
    "padding_side",
    "return_tensors",
    "return_token_type_ids",
    "stride",
    "truncation",
    "truncation_side",
    "truncation_strategy",
    "trim_offsets",
    // Texts made of messages, which are made before a text gets here.
    "chat_template",
    "response_schema",
    "use_default_system_prompt",
    // Read elsewhere, or another way to say what tokens say.
    "added_tokens_decoder",
    "errors",
    "fast_tokenizer_files",
    "model_specific_special_tokens",
    "spaces_between_special_tokens",
    // Read above, where there is one or not.
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "additional_special_tokens",
    "clean_up_tokenization_spaces",
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    "extra_special_tokens",
    "fix_mistral_regex",
    "legacy",
    "split_special_tokens",
});

// {}, false and null say nothing.
bool is_nothing(const Json& value) {
  return value.is_null() || (value.is_flag() && !value.flag()) || (value.is_object() && value.empty());
}

void note_unknown_keys(const JsonNode& node, Settings& s) {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : node.members()) {
    if (key.ends_with("_token") || is_nothing(value.value())) continue;
    if (std::find(kWithoutInfluence.begin(), kWithoutInfluence.end(), key) == kWithoutInfluence.end())
      unknown.push_back(quote(key, 40));
  }
  if (unknown.empty()) return;
  constexpr std::size_t kFew = 5;
  const std::size_t more = unknown.size() - std::min(kFew, unknown.size());
  unknown.resize(unknown.size() - more);
  s.notes.push_back(fmt::format("{}: unknown {} ignored: {}{}", node.where(), unknown.size() == 1 ? "key" : "keys",
                                fmt::join(unknown, ", "), more > 0 ? fmt::format(" and {} more", more) : ""));
}

// Folders may hold a tokenizer.json for each of several versions of transformers: it takes the newest that is not newer
// than itself. Since any version before 5.24 would do, that is the last of them.
void require_one_tokenizer_file(const JsonNode& config) {
  constexpr std::string_view begin = "tokenizer.", end = ".json";
  if (!config.has("fast_tokenizer_files")) return;
  for (const JsonNode& n : config.at("fast_tokenizer_files").elements()) {
    const std::string& name = n.text();
    if (name == "tokenizer.json" || !name.starts_with(begin) || !name.ends_with(end)) continue;
    fail_load({.what = "a file for another version of transformers is named, which it takes in the place of "
                       "tokenizer.json",
               .where = n.where(),
               .expected = "tokenizer.json alone",
               .found = quote(name),
               .hint = fmt::format("copy {} over tokenizer.json, and take fast_tokenizer_files out", name)});
  }
}

bool has_own_code(const JsonNode& config) {
  const auto map = config.find("auto_map");
  if (!map) return false;
  return map->value().is_array() || (map->is_object() && map->has("AutoTokenizer"));
}

}  // namespace

void put_before(Settings& s, std::vector<std::pair<std::string, Mention>> tokens) {
  for (auto& [name, mention] : tokens) {
    const auto old = std::find_if(s.model_specific.begin(), s.model_specific.end(),
                                  [&, key = std::string_view(name)](const auto& named) { return named.first == key; });
    if (old == s.model_specific.end()) continue;
    mention = std::move(old->second);
    s.model_specific.erase(old);
  }
  s.model_specific.insert(s.model_specific.begin(), tokens.begin(), tokens.end());
}

Mention special_mention(std::string content) {
  Mention m;
  m.token.content = std::move(content);
  m.token.normalized = false;
  m.token.special = true;
  return m;
}

void make_special(Mention& m) {
  m.token.special = true;
  if (!m.says_normalized) m.token.normalized = false;
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

Settings read_settings(const std::filesystem::path& folder, const Json* tokenizer_json) {
  const Document document(folder, "tokenizer_config.json"), model(folder, "config.json");
  const JsonNode config = document.node();
  Settings s;
  s.where = document.where;
  s.model_type = model.node().text_or("model_type", "");
  s.class_of_model = model.node().text_or("tokenizer_class", "");
  s.tokenizer_class = config.text_or("tokenizer_class", "");
  s.own_code = has_own_code(config);
  s.chat_template = config.has("chat_template") || is_present(folder / "chat_template.jinja");
  require_one_tokenizer_file(config);
  note_unknown_keys(config, s);
  read_flags_of_config(config, tokenizer_json != nullptr, s);
  read_roles(config, false, s);
  read_further_names(config, false, s);
  read_extra(config, s);
  if (config.find("added_tokens_decoder")) {
    s.added_where = config.where_of("added_tokens_decoder");
    for (const auto& [key, node] : config.at("added_tokens_decoder").members()) {
      s.added[read_id_key(key, node)] = read_flags(node, false);
    }
  } else {
    const Document map(folder, "special_tokens_map.json"), added(folder, "added_tokens.json");
    s.added_where = added.where;
    note_unknown_keys(map.node(), s);
    read_special_tokens_map(map.node(), s);
    read_added_tokens_json(added.node(), special_contents(map.node(), s), s);
    if (tokenizer_json != nullptr) read_added_tokens_of(*tokenizer_json, s);
  }
  take_flags_of_added(s);
  return s;
}

}  // namespace pkv::text
