#include "files/gguf/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace pkv::gguf {
namespace {

struct TypeRow {
  std::string_view name;
  std::size_t size;
};
constexpr std::array<TypeRow, 13> kValueTypes{{{"u8", 1},
                                               {"i8", 1},
                                               {"u16", 2},
                                               {"i16", 2},
                                               {"u32", 4},
                                               {"i32", 4},
                                               {"f32", 4},
                                               {"flag", 1},
                                               {"text", 0},
                                               {"array", 0},
                                               {"u64", 8},
                                               {"i64", 8},
                                               {"f64", 8}}};

template <class T>
T element(const Value& v, std::uint64_t i) {
  T x;
  std::memcpy(&x, v.bytes.data() + i * sizeof x, sizeof x);
  return x;
}

// None for what is no integer, or beyond 63 bits.
std::optional<std::int64_t> integer_at(const Value& v, std::uint64_t i) {
  switch (v.type) {
    case ValueType::u8:
      return element<std::uint8_t>(v, i);
    case ValueType::i8:
      return element<std::int8_t>(v, i);
    case ValueType::u16:
      return element<std::uint16_t>(v, i);
    case ValueType::i16:
      return element<std::int16_t>(v, i);
    case ValueType::u32:
      return element<std::uint32_t>(v, i);
    case ValueType::i32:
      return element<std::int32_t>(v, i);
    case ValueType::flag:
      return element<std::uint8_t>(v, i) != 0 ? 1 : 0;
    case ValueType::i64:
      return element<std::int64_t>(v, i);
    case ValueType::u64: {
      const auto x = element<std::uint64_t>(v, i);
      if (x > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<std::int64_t>(x);
    }
    case ValueType::f32:
    case ValueType::f64:
    case ValueType::text:
    case ValueType::array:
      break;
  }
  return std::nullopt;
}

std::optional<double> number_at(const Value& v, std::uint64_t i) {
  if (v.type == ValueType::f32) return element<float>(v, i);
  if (v.type == ValueType::f64) return element<double>(v, i);
  if (v.type == ValueType::flag) return std::nullopt;
  if (const auto integer = integer_at(v, i)) return static_cast<double>(*integer);
  return std::nullopt;
}

// The text whose length stands at `at`, which is moved behind it. Bounds were checked when the file was read.
std::string_view next_text(std::span<const std::byte> bytes, std::size_t& at) {
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data() + at, sizeof size);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + at + sizeof size, size);
  at += sizeof size + size;
  return text;
}

std::string one_text(const Value& v, std::uint64_t i, std::size_t most) {
  if (v.type == ValueType::flag) return *integer_at(v, i) != 0 ? "true" : "false";
  if (v.type == ValueType::f32) return fmt::format("{}", element<float>(v, i));
  if (v.type == ValueType::f64) return fmt::format("{}", element<double>(v, i));
  if (v.type == ValueType::u64) return fmt::format("{}", element<std::uint64_t>(v, i));
  if (const auto integer = integer_at(v, i)) return fmt::format("{}", *integer);
  std::size_t at = 0;
  std::string_view text;
  for (std::uint64_t n = 0; n <= i; ++n) text = next_text(v.bytes, at);
  return quote(text, most);
}

std::string kind_of(const Value& v) {
  return v.array ? fmt::format("an array of {} {}", v.count, name_of(v.type)) : std::string(name_of(v.type));
}

}  // namespace

std::string_view name_of(ValueType type) { return kValueTypes[static_cast<std::size_t>(type)].name; }
std::size_t size_of(ValueType type) { return kValueTypes[static_cast<std::size_t>(type)].size; }

std::string short_text(const Value& v, std::size_t most) {
  if (!v.array) return one_text(v, 0, most);
  std::string text = fmt::format("{} {}{}", v.count, name_of(v.type), v.type == ValueType::text ? "s" : "");
  std::string_view between = ": ";
  for (std::uint64_t i = 0; i < v.count; ++i) {
    const std::string one = one_text(v, i, most);
    if (text.size() + one.size() + 2 > most) return text + (i == 0 ? "" : ", ...");
    text += fmt::format("{}{}", std::exchange(between, ", "), one);
  }
  return text;
}

std::string element_as_json(const Value& v, std::uint64_t i) {
  if (v.type == ValueType::text) {
    std::size_t at = 0;
    std::string_view text;
    for (std::uint64_t n = 0; n <= i; ++n) text = next_text(v.bytes, at);
    return json_text(text);
  }
  const bool floats = v.type == ValueType::f32 || v.type == ValueType::f64;
  return floats && !std::isfinite(*number_at(v, i)) ? "null" : one_text(v, i, 0);
}

Metadata::Metadata(std::vector<Pair> pairs, std::string file)
    : pairs_(std::move(pairs)), by_key_(pairs_.size()), file_(std::move(file)) {
  std::iota(by_key_.begin(), by_key_.end(), std::size_t{0});
  std::ranges::sort(by_key_, {}, [this](std::size_t i) { return pairs_[i].key; });
}

const Value* Metadata::find(std::string_view key) const {
  const auto key_at = [this](std::size_t i) { return pairs_[i].key; };
  const auto at = std::ranges::lower_bound(by_key_, key, {}, key_at);
  return at == by_key_.end() || key_at(*at) != key ? nullptr : &pairs_[*at].value;
}

const Value* Metadata::read(std::string_view key) const {
  const Value* value = find(key);
  if (value != nullptr) read_.emplace(key);
  return value;
}

void Metadata::fail(std::string_view key, std::string expected, std::string found) const {
  fail_load({.what = "metadata has a value that cannot be used",
             .where = fmt::format("{}: {}", file_, key),
             .expected = std::move(expected),
             .found = std::move(found)});
}

void Metadata::fail_missing(std::string_view key, std::string hint) const {
  fail_load({.what = "metadata lacks a key",
             .where = file_,
             .expected = std::string(key),
             .found = fmt::format("{} keys, none of that name", pairs_.size()),
             .hint = std::move(hint)});
}

std::optional<std::int64_t> Metadata::integer(std::string_view key, std::int64_t least, std::int64_t most) const {
  const Value* v = read(key);
  if (v == nullptr) return std::nullopt;
  const auto x = v->array || v->type == ValueType::flag ? std::nullopt : integer_at(*v, 0);
  if (!x || *x < least || *x > most) {
    fail(key, fmt::format("an integer from {} to {}", least, most), x ? std::to_string(*x) : kind_of(*v));
  }
  return x;
}

std::optional<double> Metadata::number(std::string_view key) const {
  const Value* v = read(key);
  if (v == nullptr) return std::nullopt;
  const auto x = v->array ? std::nullopt : number_at(*v, 0);
  if (!x || !std::isfinite(*x)) fail(key, "a finite number", x ? std::to_string(*x) : kind_of(*v));
  return x;
}

std::optional<bool> Metadata::flag(std::string_view key) const {
  const Value* v = read(key);
  if (v == nullptr) return std::nullopt;
  if (v->array || v->type != ValueType::flag) fail(key, "a flag", kind_of(*v));
  return *integer_at(*v, 0) != 0;
}

std::optional<std::string_view> Metadata::text(std::string_view key) const {
  const Value* v = read(key);
  if (v == nullptr) return std::nullopt;
  if (v->array || v->type != ValueType::text) fail(key, "a text", kind_of(*v));
  std::size_t at = 0;
  return next_text(v->bytes, at);
}

std::vector<std::int64_t> Metadata::integers(std::string_view key, std::int64_t least, std::int64_t most) const {
  std::vector<std::int64_t> all;
  const Value* v = read(key);
  if (v == nullptr) return all;
  all.reserve(v->count);
  for (std::uint64_t i = 0; i < v->count; ++i) {
    const auto x = integer_at(*v, i);
    if (!x || *x < least || *x > most) {
      fail(key, fmt::format("integers from {} to {}", least, most), x ? std::to_string(*x) : kind_of(*v));
    }
    all.push_back(*x);
  }
  return all;
}

std::vector<float> Metadata::numbers(std::string_view key) const {
  std::vector<float> all;
  const Value* v = read(key);
  if (v == nullptr) return all;
  if (!v->array || (v->type != ValueType::f32 && v->type != ValueType::f64)) fail(key, "an array of f32", kind_of(*v));
  all.reserve(v->count);
  for (std::uint64_t i = 0; i < v->count; ++i) all.push_back(static_cast<float>(*number_at(*v, i)));
  return all;
}

std::vector<std::string_view> Metadata::texts(std::string_view key) const {
  std::vector<std::string_view> all;
  const Value* v = read(key);
  if (v == nullptr) return all;
  if (!v->array || v->type != ValueType::text) fail(key, "an array of texts", kind_of(*v));
  all.reserve(v->count);
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < v->count; ++i) all.push_back(next_text(v->bytes, at));
  return all;
}

std::vector<std::string> Metadata::unread() const {
  std::vector<std::string> lines;
  for (const Pair& pair : pairs_) {
    if (!read_.contains(pair.key)) lines.push_back(fmt::format("{}: {}", pair.key, short_text(pair.value)));
  }
  return lines;
}

}  // namespace pkv::gguf
