// JsonNode: a value of a JSON document with the path to it, "tokenizer.json: decoder.decoders[2]", so that every error
// names file and key. Reads check types and ranges; `only` and `refuse` see to it that nothing is skipped in silence.
// It borrows the document. All errors are load errors.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace pkv {

// A key as paths spell it: escaped to ASCII, cut at 120 characters.
std::string path_step(std::string_view key);
// "an integer from 1 to 8", as errors say what was expected.
std::string integer_range(std::int64_t least, std::int64_t most);

class JsonNode {
 public:
  // `file` is only named in errors; `path` is that within the document, empty for the document itself.
  JsonNode(const Json& value, std::string file, std::string path = {})
      : value_(&value), file_(std::move(file)), path_(std::move(path)) {}

  const Json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  std::string where() const;  // the file and the path
  std::string path_of(std::string_view key) const;
  std::string where_of(std::string_view key) const;

  bool is_null() const { return value_->is_null(); }
  bool is_object() const { return value_->is_object(); }
  bool is_text() const { return value_->is_text(); }

  // Of an object; error for anything else.
  bool has(std::string_view key) const;         // present and not null
  bool is_null_at(std::string_view key) const;  // present and null
  std::optional<JsonNode> find(std::string_view key) const;
  JsonNode at(std::string_view key) const;  // error when missing
  std::vector<std::pair<std::string, JsonNode>> members() const;
  // Of an array; error for anything else.
  std::vector<JsonNode> elements() const;

  const std::string& text() const;
  bool flag() const;
  std::int64_t integer(std::int64_t least, std::int64_t most) const;  // 12, neither 12.0 nor "12"
  double number() const;                                              // finite

  // Of an object: the member's value, or `fallback` when it is absent or null.
  bool flag_or(std::string_view key, bool fallback) const { return has(key) ? at(key).flag() : fallback; }
  std::string text_or(std::string_view key, std::string_view fallback) const;
  std::string type() const { return at("type").text(); }

  // Refuses keys that nobody would read: what they ask for would be skipped in silence.
  void only(std::initializer_list<std::string_view> keys) const;

  [[noreturn]] void wrong(std::string_view expected, std::string_view hint = "") const;   // of another type or range
  [[noreturn]] void refuse(std::string_view what, std::string_view expected = "") const;  // not supported

 private:
  const Json::Object& object() const;

  const Json* value_;
  std::string file_, path_;
};

}  // namespace pkv
