// The metadata of a GGUF file: keys with values, as views of the file. A read converts: any integer type that holds the
// number will do for an integer, since converters differ; a value that does not fit is an Error::load that names file
// and key. What was read is remembered, so that nothing a file says is ignored in silence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::gguf {

enum class ValueType : std::uint8_t { u8, i8, u16, i16, u32, i32, f32, flag, text, array, u64, i64, f64 };

// "u32", "text", ... and of numbers their bytes; 0 for text and array.
std::string_view name_of(ValueType type);
std::size_t size_of(ValueType type);

struct Value {
  ValueType type = ValueType::u8;  // of each element, where it is an array
  bool array = false;
  std::uint64_t count = 1;           // elements
  std::span<const std::byte> bytes;  // of all elements; texts each with its length before it
};

struct Pair {
  std::string_view key;
  Value value;
};

class Metadata {
 public:
  // `pairs` in the order of the file, no key twice. `file` is only named in errors.
  Metadata(std::vector<Pair> pairs, std::string file);

  const std::string& file() const { return file_; }
  std::span<const Pair> pairs() const { return pairs_; }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const Value* find(std::string_view key) const;  // null when absent; does not count as read

  // None when absent.
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t least, std::int64_t most) const;
  std::optional<double> number(std::string_view key) const;  // finite; integers are numbers
  std::optional<bool> flag(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;

  // Elements of an array; of integers and flags, a single value counts as an array of one. Empty when absent.
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t least, std::int64_t most) const;
  std::vector<float> numbers(std::string_view key) const;
  std::vector<std::string_view> texts(std::string_view key) const;

  void without_effect(std::string_view key) const { read_.emplace(key); }
  std::vector<std::string> unread() const;  // "llama.foo: 3", in the order of the file

  [[noreturn]] void fail(std::string_view key, std::string expected, std::string found) const;
  [[noreturn]] void fail_missing(std::string_view key, std::string hint = {}) const;

 private:
  const Value* read(std::string_view key) const;

  std::vector<Pair> pairs_;
  std::vector<std::size_t> by_key_;
  std::string file_;
  mutable std::set<std::string, std::less<>> read_;
};

// A value on one line, cut at `most` characters: "32000 texts: \"<unk>\", ...".
std::string short_text(const Value& value, std::size_t most = 60);

// Element `i` (of a single value 0) as JSON: a number as it would be written by hand (1e-05), null where it is not
// finite.
std::string element_as_json(const Value& value, std::uint64_t i);

}  // namespace pkv::gguf
