#include "text/node.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace pkv::text {

using nlohmann::json;

namespace {

std::string cut(std::string text) {
  if (text.size() <= 80) return text;
  std::size_t end = 77;
  while ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

std::string escaped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

std::string shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  if (value.is_string()) return cut(escaped(json(value.get_ref<const std::string&>().substr(0, 100))));
  return cut(escaped(value));
}

std::string quote(std::string_view text) { return "'" + path_step(text) + "'"; }

std::string path_step(std::string_view key) {
  const std::string s = escaped(json(key.substr(0, 100)));
  return cut(s.substr(1, s.size() - 2));
}

// The root's path ends with a colon, which at() needs and nobody wants to read.
std::string Node::where() const { return where_.ends_with(": ") ? where_.substr(0, where_.size() - 2) : where_; }

bool Node::has(std::string_view key) const {
  if (!value_->is_object()) wrong("an object");
  const auto it = value_->find(key);
  return it != value_->end() && !it->is_null();
}

bool Node::is_null_at(std::string_view key) const {
  if (!value_->is_object()) wrong("an object");
  const auto it = value_->find(key);
  return it != value_->end() && it->is_null();
}

Node Node::at(std::string_view key) const {
  if (!value_->is_object()) wrong("an object");
  const auto it = value_->find(key);
  const bool root = where_.ends_with(": ");
  std::string where = where_ + (root ? "" : ".") + path_step(key);
  if (it == value_->end()) fail_load({.what = "is missing", .where = std::move(where)});
  return Node(*it, std::move(where));
}

std::vector<Node> Node::elements() const {
  if (!value_->is_array()) wrong("an array");
  std::vector<Node> nodes;
  for (const json& v : *value_) nodes.emplace_back(v, fmt::format("{}[{}]", where_, nodes.size()));
  return nodes;
}

std::vector<std::pair<std::string, Node>> Node::members() const {
  if (!value_->is_object()) wrong("an object");
  std::vector<std::pair<std::string, Node>> nodes;
  for (const auto& [key, v] : value_->items()) nodes.emplace_back(key, at(key));
  return nodes;
}

const std::string& Node::text() const {
  if (!value_->is_string()) wrong("a string");
  return value_->get_ref<const std::string&>();
}

bool Node::flag() const {
  if (!value_->is_boolean()) wrong("true or false");
  return value_->get<bool>();
}

std::int64_t Node::integer(std::int64_t least, std::int64_t most) const {
  const bool fits =
      value_->is_number_integer() &&
      (!value_->is_number_unsigned() || value_->get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX));
  if (!fits || value_->get<std::int64_t>() < least || value_->get<std::int64_t>() > most) {
    wrong(fmt::format("a whole number from {} to {}", least, most));
  }
  return value_->get<std::int64_t>();
}

std::string Node::text_or(std::string_view key, std::string_view fallback) const {
  return has(key) ? at(key).text() : std::string(fallback);
}

void Node::only(std::initializer_list<std::string_view> keys) const {
  if (!value_->is_object()) wrong("an object");
  for (const auto& [key, v] : value_->items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      at(key).refuse("is not known here and would be ignored");
  }
}

void Node::wrong(std::string_view expected) const {
  fail_load({.what = "has the wrong type or value",
             .where = where(),
             .expected = std::string(expected),
             .found = shown(*value_)});
}

void Node::refuse(std::string_view what, std::string_view expected) const {
  fail_load({.what = std::string(what), .where = where(), .expected = std::string(expected), .found = shown(*value_)});
}

}  // namespace pkv::text
