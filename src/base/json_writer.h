// JsonWriter writes a JSON document piece by piece, without a tree: open, key, value, close. The bytes are those of
// nlohmann's dump: shortest decimals that read back as the same double (1.0, 1e-05), null for what is not finite, bytes
// that are no UTF-8 as U+FFFD. Members stand in the order in which they are written; whether a key is written twice is
// not checked. A type that has `void write_json(JsonWriter&, const T&)` beside it can be a value, and so can containers
// and optionals of it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pkv {

// The text as a JSON string with its quotes; if `ascii`, everything beyond ASCII is escaped.
std::string json_text(std::string_view text, bool ascii = false);
// The number as JSON; "null" when it is not finite.
std::string json_number(double value);

class JsonWriter {
 public:
  static constexpr int kOneLine = -1;

  // Two spaces a level unless told otherwise; kOneLine has neither spaces nor lines. If `ascii`, texts are escaped.
  explicit JsonWriter(int indent = 2, bool ascii = false) : indent_(indent), ascii_(ascii) {}

  void open_object() { open('{'); }
  void close_object() { close('}'); }
  void open_array() { open('['); }
  void close_array() { close(']'); }
  void key(std::string_view name);

  void null() { element("null"); }
  // A value that is JSON already; it is written as it is.
  void raw(std::string_view json) { element(json); }

  // null, bool, integers, doubles, texts; optional and pointer-like ones (null when empty); containers; and whatever
  // has write_json.
  template <class T>
  void value(const T& v);

  // `inside()` writes the members or elements.
  template <std::invocable Inside>
  void object(Inside&& inside) {
    open_object();
    inside();
    close_object();
  }
  template <std::invocable Inside>
  void array(Inside&& inside) {
    open_array();
    inside();
    close_array();
  }

  template <class T>
  void member(std::string_view name, const T& v) {
    key(name);
    value(v);
  }
  template <std::invocable Inside>
  void object(std::string_view name, Inside&& inside) {
    key(name);
    object(std::forward<Inside>(inside));
  }
  template <std::invocable Inside>
  void array(std::string_view name, Inside&& inside) {
    key(name);
    array(std::forward<Inside>(inside));
  }

  // What was written so far: the document, once everything is closed. No newline at the end.
  const std::string& text() const& { return text_; }
  std::string text() && { return std::move(text_); }

 private:
  void open(char bracket);
  void close(char bracket);
  void element(std::string_view json);
  void before_element();
  void line();
  void integer(std::int64_t value) { element(std::to_string(value)); }
  void integer(std::uint64_t value) { element(std::to_string(value)); }

  int indent_, depth_ = 0;
  bool ascii_;
  bool empty_ = true;       // nothing stands in the container under way
  bool after_key_ = false;  // the next value belongs to the key just written
  std::string text_;
};

template <class T>
void JsonWriter::value(const T& v) {
  if constexpr (std::same_as<T, std::nullptr_t>) {
    null();
  } else if constexpr (std::same_as<T, bool>) {
    element(v ? "true" : "false");
  } else if constexpr (std::signed_integral<T>) {
    integer(std::int64_t{v});
  } else if constexpr (std::unsigned_integral<T>) {
    integer(std::uint64_t{v});
  } else if constexpr (std::floating_point<T>) {
    element(json_number(v));
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    element(json_text(v, ascii_));
  } else if constexpr (requires { v.begin(), v.end(); }) {
    array([&] {
      for (const auto& one : v) value(one);
    });
  } else if constexpr (requires(JsonWriter & w) { write_json(w, v); }) {
    write_json(*this, v);
  } else {
    if (v) {
      value(*v);
    } else {
      null();
    }
  }
}

}  // namespace pkv
