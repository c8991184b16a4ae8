// Config: a model's config.json, read key by key with an account of what was read, so that nothing it says is ignored
// in silence. Every read takes the key's names in all dialects (transformers 4 and 5 and older files); when several are
// present they must agree. Errors are load errors that name file, key, what was expected and found. Reading is not
// thread-safe: it writes the account.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkv::hf {

using Names = std::initializer_list<std::string_view>;

class Config {
 public:
  static constexpr std::uint64_t kMaxFile = 1 << 20;

  // A file of at most kMaxFile bytes. JSON with a byte order mark is accepted; a key that appears twice, NaN, Infinity
  // and text that is no UTF-8 are not.
  static Config open(const std::filesystem::path& path);
  static Config parse(std::string_view text, std::string file);

  // `file` is only named in errors. `prefix` is the path of a nested object ("attn_config.").
  Config(nlohmann::json object, std::string file, std::string prefix = {});

  // Required reads: error when no name is present or its value is null. An integer is a JSON integer: 12, not 12.0 and
  // not "12"; a number is finite; a flag is true or false, not 0 or 1.
  std::int64_t integer(Names names, std::int64_t least, std::int64_t most) const;
  double number(Names names) const;
  bool flag(Names names) const;
  std::string text(Names names) const;

  // Optional reads: absent or null gives `fallback`.
  std::int64_t integer_or(Names names, std::int64_t fallback, std::int64_t least, std::int64_t most) const;
  double number_or(Names names, double fallback) const;
  bool flag_or(Names names, bool fallback) const;
  std::string text_or(Names names, std::string_view fallback) const;

  // Arrays; empty when absent or null. A single integer counts as an array of one (eos_token_id).
  std::vector<std::int64_t> integers(Names names, std::int64_t least, std::int64_t most) const;
  std::vector<std::string> texts(Names names) const;

  // A nested object, with its own account; an empty one when absent or null.
  const Config& child(std::string_view name) const;

  // Any value, counted as read with all it holds; null pointer when absent or null.
  const nlohmann::json* value(Names names) const;

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
  struct Found {
    std::string_view name;
    const nlohmann::json* value;  // null when absent
  };
  Found find(Names names) const;
  Found need(Names names, std::string_view expected) const;
  std::int64_t as_integer(const Found& found, std::int64_t least, std::int64_t most) const;
  double as_number(const Found& found) const;
  bool as_flag(const Found& found) const;
  std::string as_text(const Found& found) const;
  [[noreturn]] void wrong(const Found& found, std::string expected, std::string hint = {}) const;
  std::string where(std::string_view name) const;

  nlohmann::json object_;
  std::string file_, prefix_;
  mutable std::set<std::string, std::less<>> read_;
  mutable std::vector<std::pair<std::string, std::unique_ptr<Config>>> children_;
};

}  // namespace pkv::hf
