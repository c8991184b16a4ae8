#include "show/columns.h"

#include <gtest/gtest.h>

#include <limits>

namespace pkv::show {
namespace {

TEST(Columns, OfCharacters) {
  EXPECT_EQ(columns_of("max |Δ|"), 7);
  EXPECT_EQ(columns_of("日本"), 4);
  EXPECT_EQ(columns_of("e\u0301"), 1);
  EXPECT_EQ(columns_of("😀"), 2);
  EXPECT_EQ(columns_of("\xff\xfe"), 2);  // not UTF-8
  EXPECT_EQ(columns_of("\xe2\x88"), 1);  // cut off
}

TEST(Columns, Shortened) {
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdef", 4), "abc…");
  EXPECT_EQ(shortened("日本語", 4), "日…");
}

TEST(Columns, Quoted) {
  EXPECT_EQ(quoted("a\nb\t\x1b", 40), "\"a\\nb\\t\\x1b\"");
  EXPECT_EQ(columns_of(quoted(std::string(200, 'x'), 30)), 30);
}

TEST(Columns, Wrapped) {
  const std::string word(30, 'w');
  EXPECT_EQ(wrapped("✓ ", word + " " + word + " " + word), "✓ " + word + " " + word + "\n  " + word + "\n");
  EXPECT_EQ(wrapped("- ", std::string(100, 'w') + " x"), "- " + std::string(100, 'w') + "\n  x\n");
  EXPECT_EQ(wrapped("- ", ""), "- \n");
}

TEST(Columns, Aligned) { EXPECT_EQ(aligned({{"", "Δ"}, {"ab", "12"}}, 1), "      Δ\n ab  12\n"); }

TEST(Columns, CsvLine) {
  EXPECT_EQ(csv_line({"a", "", "b c"}), "a,,b c\n");
  EXPECT_EQ(csv_line({"a,b", "say \"x\"", "two\nlines", "r\r"}), "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\"r\r\"\n");
}

TEST(Numbers, Short) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(19.15625), "19.2");
  EXPECT_EQ(short_number(5.3e-5), "5.3e-05");
  EXPECT_EQ(short_number(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(short_number(std::numeric_limits<double>::quiet_NaN()), "NaN");
}

TEST(Numbers, Grouped) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(-123456789), "-123,456,789");
  EXPECT_EQ(grouped(-100), "-100");
}

}  // namespace
}  // namespace pkv::show
