// The alphabet of byte-level BPE: a printable character for each of the 256 bytes, so that vocabularies are readable
// text. Bytes that are printable in Latin-1 stand for themselves, the others take U+0100 and up, in order: a space is
// Ġ. From OpenAI's GPT-2 encoder.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace pkv::text {

// UTF-8 of the character for a byte; one or two bytes.
struct ByteCharacter {
  char bytes[2];
  std::uint8_t size;
};

const std::array<ByteCharacter, 256>& byte_alphabet();

// Each byte of `text` as its character.
std::string spell_bytes(std::string_view text);

// The byte that a character stands for, or -1.
int byte_of(char32_t character);

}  // namespace pkv::text
