// What the files of a folder say of a tokenizer beside its vocabulary: tokenizer_config.json, special_tokens_map.json,
// added_tokens.json and, of config.json, whose model it is. Read in the order and with the precedence of transformers
// 5.24; applied by load_folder.cc. Where files contradict each other that is not an error: the stronger one holds.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/json_node.h"
#include "text/added_tokens.h"

namespace pkv::text {

// A token that a file names: its text alone, or with flags.
struct Mention {
  AddedToken token;
  bool text_alone = true;
  bool says_normalized = false;

  friend bool operator==(const Mention& a, const Mention& b) {
    return a.text_alone == b.text_alone && a.token == b.token;
  }
};

Mention special_mention(std::string content);  // as text alone says it
void make_special(Mention& mention);

// The roles that every tokenizer has, in transformers' order.
inline constexpr std::array<std::string_view, 7> kRoles{"bos_token", "eos_token", "unk_token", "sep_token",
                                                        "pad_token", "cls_token", "mask_token"};

struct Settings {
  std::string where;                                        // the path of tokenizer_config.json, for errors
  std::string model_type, tokenizer_class, class_of_model;  // empty where no file says; the last from config.json
  bool own_code = false;                                    // the repository brings a tokenizer written in Python

  std::map<std::string, std::optional<Mention>, std::less<>> named;  // of kRoles; no token where a file says null
  std::vector<std::pair<std::string, Mention>> model_specific;       // under other names: "image_token"
  std::optional<std::vector<Mention>> extra;                         // without a name
  std::optional<std::vector<Mention>> additional;  // likewise, by the older key; they give way to `extra`
  std::map<std::int32_t, Mention> added;           // by the ids that files state
  std::string added_where;                         // the file of `added`, for notes

  std::optional<bool> add_bos, add_eos;                // "add_bos_token", where there is no tokenizer.json
  std::optional<bool> unused_add_bos, unused_add_eos;  // the same where there is one
  bool add_prefix_space = false, says_add_prefix_space = false;
  std::optional<bool> legacy;
  bool says_legacy = false;                                  // or null
  bool do_lower_case = true, tokenize_chinese_chars = true;  // of BERT's class
  std::optional<bool> strip_accents;
  bool split_special_tokens = false, clean_up_spaces = false, clean_up_even_bpe = false;
  bool chat_template = false;  // there is one, which makes a text of messages
  std::vector<std::string> notes;
};

// `tokenizer_json`: the rest of that file (TokenizerFile), or null where there is none. Errors are load errors.
Settings read_settings(const std::filesystem::path& folder, const Json* tokenizer_json);

// Model-specific tokens in front of the others; what the settings say of such a name already holds.
void put_before(Settings& settings, std::vector<std::pair<std::string, Mention>> tokens);

// Of an entry of added_tokens in tokenizer.json, or of a value in the other files.
AddedToken read_added_token(const JsonNode& node);

}  // namespace pkv::text
