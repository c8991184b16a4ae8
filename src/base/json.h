// Json: a JSON document as a value, and the only reader of JSON texts: strict (no key twice, no NaN, no ill-formed
// UTF-8, limited depth), with errors that say where. json_node.h reads a value with its path, json_events.h a text
// without a tree, json_writer.h writes.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pkv {

class JsonWriter;

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(std::same_as<bool> auto flag) : value_(flag) {}
  Json(std::signed_integral auto integer) : value_(std::int64_t{integer}) {}
  Json(std::unsigned_integral auto integer) requires(!std::same_as<decltype(integer), bool>)
      : value_(std::uint64_t{integer}) {}
  Json(double number) : value_(number) {}
  Json(std::string text) : value_(std::move(text)) {}
  Json(std::string_view text) : value_(std::string(text)) {}
  Json(const char* text) : value_(std::string(text)) {}
  Json(Array elements) : value_(std::move(elements)) {}
  Json(Object members) : value_(std::move(members)) {}

  bool is_null() const { return value_.index() == 0; }
  bool is_flag() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const;  // spelled without fraction and exponent, and of 64 bits
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
  bool is_text() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }
  bool is_unsigned() const;                                // an integer from 0 up
  bool fits(std::int64_t least, std::int64_t most) const;  // an integer in that range

  // Each for a value of that kind alone.
  bool flag() const { return std::get<bool>(value_); }
  std::int64_t integer() const;                                      // one that fits 63 bits and a sign
  std::uint64_t unsigned_integer() const { return integer_bits(); }  // one that is unsigned
  double number() const;                                             // the nearest one, for an integer
  const std::string& text() const { return std::get<std::string>(value_); }
  const Array& elements() const { return std::get<Array>(value_); }
  Array& elements() { return std::get<Array>(value_); }
  const Object& members() const { return std::get<Object>(value_); }
  Object& members() { return std::get<Object>(value_); }

  // The member of that name; null when there is none, and of anything but an object.
  const Json* find(std::string_view key) const;
  std::size_t size() const;  // of an array or object; 0 for anything else
  bool empty() const { return size() == 0; }

  // On one line, or with `indent` spaces a level (JsonWriter). Members stand in the order of their names.
  std::string dump(int indent = -1, bool ascii = false) const;

  // Numbers are equal by value: 1 and 1.0 are.
  friend bool operator==(const Json& a, const Json& b);

 private:
  std::uint64_t integer_bits() const;

  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object> value_;
};

void write_json(JsonWriter& writer, const Json& json);

// The document. Load error when the text is not JSON, with the offset; for a key that appears twice; and when more than
// `max_depth` objects and arrays stand within each other. `file` is only named in errors.
Json parse_json(std::string_view text, std::string_view file, std::size_t max_depth = 64);

// A name or value of a file, fit for an error message: quoted, escaped to ASCII, cut at `most` characters.
std::string quote(std::string_view text, std::size_t most = 120);
// A value as errors show it: JSON on one line, escaped to ASCII, cut at `most` characters.
std::string short_json(const Json& value, std::size_t most = 60);

}  // namespace pkv
