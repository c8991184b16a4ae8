// A value of a JSON document together with the path to it, "tokenizer.json: decoder.decoders[2]", so that every error
// names file and key. Reads check types and ranges; `only` and `refuse` see to it that nothing is skipped in silence.
// Used to read everything of a tokenizer but the vocabulary and the merges (json.h). It borrows the document.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkv::text {

// A value as errors show it: containers by name, the rest cut to 80 characters.
std::string shown(const nlohmann::json& value);
// A text of a file as errors show it: between ' and ', control characters escaped, cut to 80 bytes.
std::string quote(std::string_view text);
std::string path_step(std::string_view key);  // likewise, without the quotes

class Node {
 public:
  Node(const nlohmann::json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  std::string where() const;
  bool is_null() const { return value_->is_null(); }
  bool is_object() const { return value_->is_object(); }
  bool is_string() const { return value_->is_string(); }

  bool has(std::string_view key) const;  // present and not null
  bool is_null_at(std::string_view key) const;
  Node at(std::string_view key) const;  // error when missing
  std::vector<Node> elements() const;
  std::vector<std::pair<std::string, Node>> members() const;

  const std::string& text() const;
  bool flag() const;
  std::int64_t integer(std::int64_t least, std::int64_t most) const;

  bool flag_or(std::string_view key, bool fallback) const { return has(key) ? at(key).flag() : fallback; }
  std::string text_or(std::string_view key, std::string_view fallback) const;
  std::string type() const { return at("type").text(); }

  // Refuses keys that nobody would read: what they ask for would be skipped in silence.
  void only(std::initializer_list<std::string_view> keys) const;

  [[noreturn]] void wrong(std::string_view expected) const;                               // of another type
  [[noreturn]] void refuse(std::string_view what, std::string_view expected = "") const;  // not supported

 private:
  const nlohmann::json* value_;
  std::string where_;
};

}  // namespace pkv::text
