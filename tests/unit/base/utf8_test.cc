#include "base/utf8.h"

#include <gtest/gtest.h>

namespace pkv {
namespace {

// In pieces of one byte.
std::string mended(std::string_view bytes) {
  Mender mender;
  std::string out;
  for (const char c : bytes) mender.push({&c, 1}, out);
  mender.finish(out);
  return out;
}

TEST(Utf8, TheFirstInvalidByteIsFound) {
  struct Case {
    std::string text;
    std::optional<std::size_t> at;
  };
  const Case cases[] = {
      {"", {}},
      {"plain text, longer than eight", {}},
      {"é中😀\U0010ffff", {}},
      {"abcdefgh\xff", 8},
      {"\x80", 0},
      {"a\xc3", 1},
      {"a\xc3(", 1},
      {"\xc0\x80", 0},             // overlong
      {"\xe0\x9f\xbf", 0},         // overlong
      {"\xed\xa0\x80", 0},         // a surrogate
      {"\xf0\x8f\xbf\xbf", 0},     // overlong
      {"ok \xf4\x90\x80\x80", 3},  // above U+10FFFF
      {"\xf5\x80\x80\x80", 0},
      {"é\xe4\xb8", 2},  // cut short
  };
  for (const Case& c : cases) EXPECT_EQ(first_invalid_utf8(c.text), c.at) << c.text;
}

TEST(Utf8, EveryCharacterSurvivesCodingAndDecoding) {
  for (char32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string s = "x";
    append_utf8(s, c);
    ASSERT_FALSE(first_invalid_utf8(s));
    ASSERT_EQ(decode_at(s, 1).code, c);
    ASSERT_EQ(decode_at(s, 1).size, s.size() - 1);
    ASSERT_EQ(previous_boundary(s, s.size()), 1u);
  }
}

// The cases of the Unicode standard, 3.9, "U+FFFD substitution of maximal subparts".
TEST(Utf8, BrokenSequencesAreMended) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(mended("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82"
                   "A"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(mended("\xed\xa0\x80\xed\xbf\xbf\xed\xaf"
                   "A"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(mended("\xf4\x91\x92\x93\xff"
                   "A\x80\xbf"
                   "B"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(mended("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
                   "A"),
            r + r + r + r + "A");
  EXPECT_EQ(mended("\xf0\x9f\x98"), r);
  EXPECT_EQ(mended("é中😀"), "é中😀");
}

}  // namespace
}  // namespace pkv
