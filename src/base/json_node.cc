#include "base/json_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace pkv {

std::string path_step(std::string_view key) {
  const std::string quoted = quote(key);
  return quoted.substr(1, quoted.size() - 2);
}

std::string integer_range(std::int64_t least, std::int64_t most) {
  if (most == std::numeric_limits<std::int64_t>::max()) return fmt::format("an integer of at least {}", least);
  return fmt::format("an integer from {} to {}", least, most);
}

std::string JsonNode::where() const { return path_.empty() ? file_ : file_ + ": " + path_; }

std::string JsonNode::path_of(std::string_view key) const {
  return path_ + (path_.empty() ? "" : ".") + path_step(key);
}

std::string JsonNode::where_of(std::string_view key) const { return file_ + ": " + path_of(key); }

const Json::Object& JsonNode::object() const {
  if (!value_->is_object()) wrong("an object");
  return value_->members();
}

bool JsonNode::has(std::string_view key) const {
  const auto at = object().find(key);
  return at != object().end() && !at->second.is_null();
}

bool JsonNode::is_null_at(std::string_view key) const {
  const auto at = object().find(key);
  return at != object().end() && at->second.is_null();
}

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  const auto at = object().find(key);
  if (at == object().end()) return std::nullopt;
  return JsonNode(at->second, file_, path_of(key));
}

JsonNode JsonNode::at(std::string_view key) const {
  if (auto found = find(key)) return *std::move(found);
  fail_load({.what = "is missing", .where = where_of(key)});
}

std::vector<JsonNode> JsonNode::elements() const {
  if (!value_->is_array()) wrong("an array");
  std::vector<JsonNode> nodes;
  for (const Json& v : value_->elements()) nodes.emplace_back(v, file_, fmt::format("{}[{}]", path_, nodes.size()));
  return nodes;
}

std::vector<std::pair<std::string, JsonNode>> JsonNode::members() const {
  std::vector<std::pair<std::string, JsonNode>> nodes;
  for (const auto& [key, v] : object()) nodes.emplace_back(key, JsonNode(v, file_, path_of(key)));
  return nodes;
}

const std::string& JsonNode::text() const {
  if (!value_->is_text()) wrong("a text");
  return value_->text();
}

bool JsonNode::flag() const {
  if (!value_->is_flag()) wrong("true or false");
  return value_->flag();
}

std::int64_t JsonNode::integer(std::int64_t least, std::int64_t most) const {
  if (value_->fits(least, most)) return value_->integer();
  const bool fraction = value_->is_number() && !value_->is_integer();
  wrong(integer_range(least, most), fraction ? "write it without a fraction or exponent" : "");
}

double JsonNode::number() const {
  if (!value_->is_number() || !std::isfinite(value_->number())) wrong("a finite number");
  return value_->number();
}

std::string JsonNode::text_or(std::string_view key, std::string_view fallback) const {
  return has(key) ? at(key).text() : std::string(fallback);
}

void JsonNode::only(std::initializer_list<std::string_view> keys) const {
  for (const auto& [key, v] : object()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      at(key).refuse("is not known here and would be ignored");
  }
}

void JsonNode::wrong(std::string_view expected, std::string_view hint) const {
  fail_load({.what = "has the wrong value",
             .where = where(),
             .expected = std::string(expected),
             .found = short_json(*value_),
             .hint = std::string(hint)});
}

void JsonNode::refuse(std::string_view what, std::string_view expected) const {
  fail_load(
      {.what = std::string(what), .where = where(), .expected = std::string(expected), .found = short_json(*value_)});
}

}  // namespace pkv
