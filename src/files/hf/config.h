// Config: a model's config.json, read key by key with an account of what was read, so that nothing it says is ignored
// in silence. Every read takes the key's names in all dialects (transformers 4 and 5 and older files); when several are
// present they must agree. A key that is absent and one that is null are two things: transformers gives the one its
// class's default and the other None, so an `_or` read refuses null, and an `_or_none` read gives nothing for it.
// Errors are load errors that name file, key, what was expected and found. Several threads may read a Config at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkv {
class Json;
class JsonNode;
}  // namespace pkv

namespace pkv::hf {

using Names = std::initializer_list<std::string_view>;

class Config {
 public:
  static constexpr std::uint64_t kMaxFile = 1 << 20;

  // A file of at most kMaxFile bytes. JSON with a byte order mark is accepted; a key that appears twice, NaN, Infinity
  // and text that is no UTF-8 are not.
  static Config open(const std::filesystem::path& path);
  static Config parse(std::string_view text, std::string file);

  // `file` is only named in errors. `path` is that of a nested object ("attn_config").
  Config(Json object, std::string file, std::string path = {});
  ~Config();
  Config(Config&&) noexcept;
  Config& operator=(Config&&) noexcept;

  // Required reads: error when no name is present or its value is null. An integer is a JSON integer: 12, not 12.0 and
  // not "12"; a number is finite; a flag is true or false, not 0 or 1.
  std::int64_t integer(Names names, std::int64_t least, std::int64_t most) const;
  double number(Names names) const;
  bool flag(Names names) const;
  std::string text(Names names) const;

  // Absent gives `absent`; null is an error.
  std::int64_t integer_or(Names names, std::int64_t absent, std::int64_t least, std::int64_t most) const;
  double number_or(Names names, double absent) const;
  bool flag_or(Names names, bool absent) const;
  std::string text_or(Names names, std::string_view absent) const;

  // Null gives nothing; absent gives `absent`, which is nothing for the many keys whose default is None.
  // `sliding_window` of Mistral is integer_or_none({"sliding_window"}, 1, kMost, 4096): without the key there are 4,096
  // tokens in the window, with null there is no window.
  std::optional<std::int64_t> integer_or_none(Names names, std::int64_t least, std::int64_t most,
                                              std::optional<std::int64_t> absent = {}) const;
  std::optional<double> number_or_none(Names names, std::optional<double> absent = {}) const;
  std::optional<bool> flag_or_none(Names names, std::optional<bool> absent = {}) const;
  std::optional<std::string> text_or_none(Names names, std::optional<std::string> absent = {}) const;

  // Arrays; empty when absent or null. A single integer counts as an array of one (eos_token_id).
  std::vector<std::int64_t> integers(Names names, std::int64_t least, std::int64_t most) const;
  std::vector<std::string> texts(Names names) const;

  // A nested object, with its own account; an empty one when absent or null.
  const Config& child(std::string_view name) const;

  // Any value, counted as read with all it holds; null pointer when absent or null.
  const Json* value(Names names) const;

  // Neither counts as read.
  bool has(std::string_view name) const;      // present and not null
  bool is_null(std::string_view name) const;  // present and null

  // Says that a key has no effect on the logits, whatever its value (dropout, initializer_range).
  void without_effect(Names names) const;

  // The error for a value that exists but is not implemented: "alibi: true" with what is supported.
  [[noreturn]] void unsupported(std::string_view name, std::string_view expected) const;

  // Keys that nobody asked about, nested ones with their path, with their values: "attn_config.qk_ln: true".
  std::vector<std::string> unread() const;

  const Json& json() const;
  const std::string& file() const;

 private:
  struct State;

  std::optional<JsonNode> find(Names names) const;     // present; may be null
  std::optional<JsonNode> present(Names names) const;  // and not null
  JsonNode need(Names names, std::string_view expected) const;

  std::unique_ptr<State> state_;
};

}  // namespace pkv::hf
