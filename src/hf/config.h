// Config: a model's config.json, read key by key with an account of what was read, so that nothing it says is ignored
// in silence. Every read takes the key's names in all dialects (transformers 4 and 5 and older files); when several are
// present they must agree. Errors are load errors that name file, key, what was expected and found.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::hf {

using Names = std::initializer_list<std::string_view>;

class Config {
 public:
  // `file` is only named in errors. `prefix` is the path of a nested object ("attn_config.").
  Config(nlohmann::json object, std::string file, std::string prefix = {});

  // Required reads: error when no name is present or its value is null.
  std::int64_t integer(Names names, std::int64_t least, std::int64_t most) const;
  double number(Names names) const;
  bool flag(Names names) const;
  std::string text(Names names) const;

  // Optional reads: absent or null gives `fallback`.
  std::int64_t integer_or(Names names, std::int64_t fallback, std::int64_t least, std::int64_t most) const;
  double number_or(Names names, double fallback) const;
  bool flag_or(Names names, bool fallback) const;
  std::string text_or(Names names, std::string_view fallback) const;

  // A nested object, with its own account; an empty one when absent or null.
  const Config& child(std::string_view name) const;

  bool has(std::string_view name) const;  // present and not null; does not count as read

  // Says that a key has no effect on the logits, whatever its value (dropout, initializer_range).
  void without_effect(Names names) const;

  // The error for a value that exists but is not implemented: "alibi: true" with what is supported.
  [[noreturn]] void unsupported(std::string_view name, std::string_view expected) const;

  // Keys that nobody asked about, nested ones with their path, with their values: "attn_config.qk_ln: true".
  std::vector<std::string> unread() const;

  const nlohmann::json& json() const { return object_; }
  const std::string& file() const { return file_; }

 private:
  const nlohmann::json* find(Names names) const;

  nlohmann::json object_;
  std::string file_, prefix_;
  mutable std::set<std::string, std::less<>> read_;
  mutable std::vector<std::pair<std::string, std::unique_ptr<Config>>> children_;
};

}  // namespace pkv::hf
