// Reads tokenizer.json and vocab.json without trust: nesting, number of values, types and duplicate keys are checked
// while reading, and the two big parts, vocabulary and merges, go straight into compact form and never into a document
// tree. The rest is read through Node, whose errors name the file and the key.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace pkv::text {

// Merge rules in the order of the file, spelled as tokens.
class MergeList {
 public:
  void add(std::string_view left, std::string_view right);
  std::size_t size() const { return items_.size(); }
  std::string_view left(std::size_t i) const;
  std::string_view right(std::size_t i) const;

 private:
  struct Item {
    std::uint32_t begin, left, right;  // in bytes_: where, and the sizes
  };
  std::string bytes_;
  std::vector<Item> items_;
};

struct TokenizerFile {
  nlohmann::json rest;  // everything but model.vocab and model.merges
  Vocab vocab;          // not closed
  MergeList merges;
  bool has_vocab = false, has_merges = false;
};

// `name` is only named in errors; all are load errors.
TokenizerFile read_tokenizer_json(std::string_view json, std::string_view name);
void read_vocab_json(std::string_view json, std::string_view name, Vocab& vocab);
nlohmann::json read_json(std::string_view json, std::string_view name);

// A value of the document with the path to it: "tokenizer.json: decoder.decoders[2]".
class Node {
 public:
  Node(const nlohmann::json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
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
