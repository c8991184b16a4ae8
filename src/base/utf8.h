// UTF-8: checking, walking and mending. `decode_at` and `previous_boundary` trust their input, so check first with
// `first_invalid_utf8`; `Mender` is for bytes that nobody has checked, such as those that a byte-level decoder yields.
// Nothing here knows what a character means; text/unicode.h does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pkv {

struct Character {
  char32_t code;
  std::uint32_t size;  // bytes
};

// Offset of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7); nothing when all are.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

// The character that starts at `at`. `text` is valid UTF-8 and `at` a boundary below its size.
Character decode_at(std::string_view text, std::size_t at);

// Where the character before `at` starts; `at` is a boundary above 0.
std::size_t previous_boundary(std::string_view text, std::size_t at);

void append_utf8(std::string& text, char32_t code);

// The character that starts at `at`, which moves past it, of a text that nobody has checked: a stray byte is one
// character.
char32_t next_character(std::string_view text, std::size_t& at);

// Control characters, which could move a terminal's cursor or change its colours, as \n, \t, \x1b.
std::string printable(std::string_view text);

// Bytes to UTF-8, in pieces of any size: every maximal part of an ill-formed sequence becomes one U+FFFD, as Rust's
// from_utf8_lossy and the WHATWG decoder do it. A sequence that may still be completed is held back.
class Mender {
 public:
  void push(std::string_view bytes, std::string& out);
  void finish(std::string& out);

 private:
  void byte(unsigned char b, std::string& out);

  std::string held_;
  int missing_ = 0;                         // continuation bytes to come
  unsigned char low_ = 0x80, high_ = 0xbf;  // bounds of the next one
};

}  // namespace pkv
