#include "text/byte_alphabet.h"

#include "base/utf8.h"

namespace pkv::text {
namespace {

constexpr char32_t kEnd = 0x144;  // 256 and the 68 bytes that are not printable

struct Alphabet {
  std::array<ByteCharacter, 256> characters{};
  std::array<std::int16_t, kEnd> bytes{};

  Alphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      const char32_t code = printable ? static_cast<char32_t>(b) : next++;
      std::string utf8;
      append_utf8(utf8, code);
      ByteCharacter& c = characters[static_cast<std::size_t>(b)];
      c.size = static_cast<std::uint8_t>(utf8.copy(c.bytes, sizeof c.bytes));
      bytes[code] = static_cast<std::int16_t>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet a;
  return a;
}

}  // namespace

const std::array<ByteCharacter, 256>& byte_alphabet() { return alphabet().characters; }

std::string spell_bytes(std::string_view text) {
  const auto& alphabet = byte_alphabet();
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (const char byte : text) {
    const ByteCharacter& c = alphabet[static_cast<unsigned char>(byte)];
    out.append(c.bytes, c.size);
  }
  return out;
}

int byte_of(char32_t character) { return character < kEnd ? alphabet().bytes[character] : -1; }

}  // namespace pkv::text
