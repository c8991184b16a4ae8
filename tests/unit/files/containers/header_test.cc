// Every rule of the format, broken once; and what the rules allow.
#include <fmt/format.h>

#include <limits>

#include "files/containers/safetensors.h"
#include "unit/files/support.h"

namespace pkv::containers {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string entry(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return fmt::format(R"({{"dtype":"{}","shape":{},"data_offsets":{}}})", dtype, shape, offsets);
}

const std::string kOne = entry("F32", "[1]", "[0,4]");

Header parsed(std::string_view json, std::uint64_t data_size) { return parse_header(json, data_size, "f"); }

std::string refused(std::string_view json, std::uint64_t data_size = 4) {
  return error_of([&] { parsed(json, data_size); });
}

std::string refused_entry(std::string_view value, std::uint64_t data_size = 4) {
  return refused(fmt::format(R"({{"a":{}}})", value), data_size);
}

TEST(Header, EmptyAndPadded) {
  EXPECT_TRUE(parsed("{}", 0).entries.empty());
  EXPECT_TRUE(parsed("{}      ", 0).entries.empty());
  EXPECT_EQ(parsed(fmt::format(R"({{ "a" : {} }}   )", kOne), 4).entries.size(), 1u);
}

TEST(Header, BeginsWithABrace) {
  EXPECT_THAT(refused(""), AllOf(HasSubstr("f: header does not begin with '{'"), HasSubstr("empty header")));
  EXPECT_THAT(refused(" {}"), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(refused("\xef\xbb\xbf{}"), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(refused("[]"), HasSubstr("does not begin with '{'"));
}

TEST(Header, IsOneJsonDocument) {
  EXPECT_THAT(refused("{"), AllOf(HasSubstr("f: byte 1: is not valid JSON"), HasSubstr("unexpected end of input")));
  EXPECT_THAT(refused("{}x"), HasSubstr("f: byte 2: is not valid JSON"));
  EXPECT_THAT(refused("{}{}"), HasSubstr("f: byte 2: is not valid JSON"));
  EXPECT_THAT(refused(std::string_view("{}\0\0", 4)), AllOf(HasSubstr("f: byte 2"), HasSubstr("a NUL byte")));
  EXPECT_THAT(refused(fmt::format(R"({{"a":{},}})", kOne)), HasSubstr("is not valid JSON"));
  EXPECT_THAT(refused("{\"\xff\":1}"), AllOf(HasSubstr("f: byte 2: is not valid JSON"), HasSubstr("UTF-8")));
  EXPECT_THAT(refused(R"({"\ud800":1})"), HasSubstr("is not valid JSON"));
}

TEST(Header, MetadataIsTexts) {
  const Header header = parsed(R"({"__metadata__":{"format":"pt","é":"\u4e2d"}})", 0);
  EXPECT_THAT(header.metadata, ElementsAre(std::pair("format", "pt"), std::pair("é", "中")));
  EXPECT_TRUE(parsed(R"({"__metadata__":{}})", 0).metadata.empty());

  EXPECT_THAT(refused(R"({"__metadata__":{"k":1}})"),
              AllOf(HasSubstr("f: __metadata__ key 'k'"), HasSubstr("expected: a text"), HasSubstr("found:    1")));
  EXPECT_THAT(refused(R"({"__metadata__":{"k":null}})"), HasSubstr("found:    null"));
  EXPECT_THAT(refused(R"({"__metadata__":{"k":{}}})"), HasSubstr("found:    an object"));
  EXPECT_THAT(refused(R"({"__metadata__":null})"),
              AllOf(HasSubstr("f: __metadata__"), HasSubstr("an object of texts")));
  EXPECT_THAT(refused(R"({"__metadata__":[]})"), HasSubstr("found:    an array"));
  EXPECT_THAT(refused(R"({"__metadata__":{"k":"1","k":"1"}})"), HasSubstr("f: __metadata__ key 'k': appears twice"));
  EXPECT_THAT(refused(R"({"__metadata__":{},"__metadata__":{}})"), HasSubstr("f: __metadata__: appears twice"));
}

TEST(Header, MetadataIsLimited) {
  std::string json = R"({"__metadata__":{)";
  for (std::size_t i = 0; i < Header::kMaxMetadata; ++i) json += fmt::format("\"{}\":\"\",", i);
  EXPECT_EQ(parsed(json.substr(0, json.size() - 1) + "}}", 0).metadata.size(), Header::kMaxMetadata);
  EXPECT_THAT(refused(json + R"("one more":""}})"), AllOf(HasSubstr("too many entries"), HasSubstr("at most 65536")));
}

TEST(Header, AnEntryHasThreeFields) {
  const Header header = parsed(R"({"a":{"data_offsets":[0,8],"shape":[2,1],"dtype":"F32"}})", 8);
  ASSERT_EQ(header.entries.size(), 1u);
  EXPECT_EQ(header.entries[0].name, "a");
  EXPECT_EQ(header.entries[0].readable, DType::f32);
  EXPECT_THAT(header.entries[0].shape, ElementsAre(2, 1));
  EXPECT_EQ(header.entries[0].end, 8u);

  EXPECT_THAT(refused_entry(R"({"shape":[1],"data_offsets":[0,4]})"), HasSubstr("f: tensor 'a': dtype is missing"));
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","data_offsets":[0,4]})"), HasSubstr("f: tensor 'a': shape is missing"));
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","shape":[1]})"), HasSubstr("f: tensor 'a': data_offsets is missing"));
  EXPECT_THAT(refused_entry("{}"), HasSubstr("dtype is missing"));
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})"),
              AllOf(HasSubstr("f: tensor 'a': header breaks the safetensors format"), HasSubstr("the key 'x'")));
  EXPECT_THAT(refused_entry(R"(["F32",[1],[0,4]])"), HasSubstr("found:    an array"));
  EXPECT_THAT(refused_entry("null"), HasSubstr("found:    null"));
  EXPECT_THAT(refused_entry(R"("F32")"), HasSubstr("found:    the text 'F32'"));
  EXPECT_THAT(refused_entry("1"), HasSubstr("expected: an object of dtype, shape and data_offsets"));
}

TEST(Header, NoKeyTwice) {
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})"),
              HasSubstr("f: tensor 'a': dtype appears twice"));
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]})"),
              HasSubstr("shape appears twice"));
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]})"),
              HasSubstr("data_offsets appears twice"));
  EXPECT_THAT(refused(fmt::format(R"({{"a":{0},"a":{0}}})", kOne)), HasSubstr("f: tensor 'a': name appears twice"));
  // An empty tensor twice would pass every rule about offsets.
  const std::string empty = entry("F32", "[0]", "[0,0]");
  EXPECT_THAT(refused(fmt::format(R"({{"a":{0},"b":{0},"a":{0}}})", empty), 0), HasSubstr("name appears twice"));
  EXPECT_EQ(parsed(fmt::format(R"({{"a":{0},"b":{0}}})", empty), 0).entries.size(), 2u);
}

TEST(Header, NumbersAreNonNegativeIntegers) {
  for (const std::string_view bad :
       {"-1", "-0", "1.0", "1e0", "1.5", "true", "null", "\"1\"", "[1]", "{}", "18446744073709551616", "1e400"}) {
    SCOPED_TRACE(bad);
    EXPECT_THAT(refused_entry(entry("F32", fmt::format("[{}]", bad), "[0,4]")), HasSubstr("f: "));
    EXPECT_THAT(refused_entry(entry("F32", "[1]", fmt::format("[0,{}]", bad))), HasSubstr("f: "));
    EXPECT_THAT(refused_entry(entry("F32", "[1]", fmt::format("[{},4]", bad))), HasSubstr("f: "));
  }
  EXPECT_THAT(refused_entry(entry("F32", "[-1]", "[0,4]")),
              AllOf(HasSubstr("f: tensor 'a'"), HasSubstr("array of non-negative integers"), HasSubstr("-1")));
  EXPECT_THAT(refused_entry(entry("F32", "[1.5]", "[0,4]")), HasSubstr("found:    1.5"));
  EXPECT_THAT(refused_entry(entry("F32", "[01]", "[0,4]")), HasSubstr("is not valid JSON"));
  EXPECT_THAT(refused_entry(entry("F32", "[9223372036854775808]", "[0,4]")), HasSubstr("dimension is too large"));
  EXPECT_THAT(refused_entry(entry("F32", "1", "[0,4]")), HasSubstr("shape as an array"));
  EXPECT_THAT(refused_entry(entry("F32", "[1]", "4")), HasSubstr("data_offsets as an array"));
  EXPECT_THAT(refused_entry(entry("F32", "[1]", "[]")), AllOf(HasSubstr("not a pair"), HasSubstr("0 numbers")));
  EXPECT_THAT(refused_entry(entry("F32", "[1]", "[0]")), AllOf(HasSubstr("not a pair"), HasSubstr("1 numbers")));
  EXPECT_THAT(refused_entry(entry("F32", "[1]", "[0,4,4]")), HasSubstr("not a pair"));
}

TEST(Header, RankIsLimited) {
  const std::string ones = "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]";
  EXPECT_EQ(parsed(fmt::format(R"({{"a":{}}})", entry("F32", ones, "[0,4]")), 4).entries[0].shape.size(), 16u);
  EXPECT_THAT(refused_entry(entry("F32", "[1," + ones.substr(1), "[0,4]")),
              AllOf(HasSubstr("f: tensor 'a': rank is too high"), HasSubstr("at most 16")));
}

TEST(Header, RankZeroIsOneElement) {
  EXPECT_TRUE(parsed(fmt::format(R"({{"a":{}}})", entry("F32", "[]", "[0,4]")), 4).entries[0].shape.empty());
  EXPECT_THAT(refused_entry(entry("F32", "[]", "[0,0]"), 0), HasSubstr("expected: 4 bytes for F32 []"));
}

struct Size {
  std::string_view dtype;
  std::uint64_t bytes_of_8;
  bool readable;
};

TEST(Header, EveryDtypeHasItsSize) {
  // As the reference implementation 0.8.0 accepts them for 8 elements.
  for (const Size& s :
       {Size{"BOOL", 8, true}, {"F4", 4, false},          {"F6_E2M3", 6, false},     {"F6_E3M2", 6, false},
        {"U8", 8, true},       {"I8", 8, true},           {"F8_E5M2", 8, false},     {"F8_E4M3", 8, false},
        {"F8_E8M0", 8, false}, {"F8_E4M3FNUZ", 8, false}, {"F8_E5M2FNUZ", 8, false}, {"I16", 16, true},
        {"U16", 16, true},     {"F16", 16, true},         {"BF16", 16, true},        {"I32", 32, true},
        {"U32", 32, true},     {"F32", 32, true},         {"C64", 64, false},        {"F64", 64, true},
        {"I64", 64, true},     {"U64", 64, true}}) {
    SCOPED_TRACE(s.dtype);
    const std::string json = fmt::format(R"({{"a":{}}})", entry(s.dtype, "[8]", fmt::format("[0,{}]", s.bytes_of_8)));
    const Header header = parsed(json, s.bytes_of_8);
    EXPECT_EQ(header.entries[0].dtype, s.dtype);
    EXPECT_EQ(header.entries[0].readable.has_value(), s.readable);
    const std::string wrong = entry(s.dtype, "[8]", fmt::format("[0,{}]", s.bytes_of_8 + 1));
    EXPECT_THAT(refused_entry(wrong, s.bytes_of_8 + 1),
                AllOf(HasSubstr(fmt::format("expected: {} bytes for {} [8]", s.bytes_of_8, s.dtype)),
                      HasSubstr(fmt::format("found:    {} bytes", s.bytes_of_8 + 1))));
  }
  EXPECT_THAT(refused_entry(entry("F4", "[3]", "[0,2]"), 2), HasSubstr("no whole byte"));
  EXPECT_THAT(refused_entry(entry("F99", "[1]", "[0,4]")),
              AllOf(HasSubstr("f: tensor 'a': unknown dtype"), HasSubstr("found:    'F99'")));
  EXPECT_THAT(refused_entry(entry("f32", "[1]", "[0,4]")), HasSubstr("unknown dtype"));
  EXPECT_THAT(refused_entry(R"({"dtype":7,"shape":[1],"data_offsets":[0,4]})"), HasSubstr("the name of a dtype"));
}

TEST(Header, OffsetsAreContiguousFromZero) {
  const auto two = [](std::string_view first, std::string_view second) {
    return fmt::format(R"({{"b":{},"a":{}}})", entry("F32", "[1]", second), entry("F32", "[1]", first));
  };
  const Header header = parsed(two("[0,4]", "[4,8]"), 8);
  EXPECT_EQ(header.entries[0].name, "a");  // by offset, not by place in the header

  EXPECT_THAT(refused(two("[0,4]", "[8,12]"), 12), AllOf(HasSubstr("f: tensor 'b': a hole in the data before it"),
                                                         HasSubstr("beginning at 4"), HasSubstr("found:    8")));
  EXPECT_THAT(refused(two("[4,8]", "[8,12]"), 12), HasSubstr("f: tensor 'a': a hole in the data before it"));
  EXPECT_THAT(refused(two("[0,4]", "[2,6]"), 8), HasSubstr("f: tensor 'b': data overlaps"));
  EXPECT_THAT(refused(two("[0,4]", "[0,4]"), 4), HasSubstr("data overlaps"));
  EXPECT_THAT(refused_entry(entry("F32", "[1]", "[4,0]")), HasSubstr("f: tensor 'a': data_offsets end before"));
}

TEST(Header, TheLastEndIsTheEndOfTheFile) {
  EXPECT_THAT(refused_entry(kOne, 5), AllOf(HasSubstr("f: the tensors do not cover the file"),
                                            HasSubstr("expected: 4 bytes"), HasSubstr("found:    5 bytes")));
  EXPECT_THAT(refused_entry(kOne, 3), AllOf(HasSubstr("f: tensor 'a': data lies beyond the end of the file"),
                                            HasSubstr("at most 3 bytes"), HasSubstr("truncated")));
  EXPECT_THAT(refused("{}", 1), HasSubstr("do not cover the file"));
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  EXPECT_THAT(refused_entry(entry("U8", "[0]", fmt::format("[{0},{0}]", kMax))), HasSubstr("beyond the end"));
}

TEST(Header, EmptyTensorsLieBetweenOthers) {
  const auto json =
      fmt::format(R"({{"e":{},"a":{},"b":{},"z":{}}})", entry("F16", "[7,0]", "[4,4]"), entry("F32", "[1]", "[0,4]"),
                  entry("F32", "[1]", "[4,8]"), entry("I8", "[0]", "[8,8]"));
  EXPECT_EQ(parsed(json, 8).entries.size(), 4u);
  const auto inside = fmt::format(R"({{"e":{},"a":{}}})", entry("F16", "[0]", "[4,4]"), entry("F32", "[2]", "[0,8]"));
  EXPECT_THAT(refused(inside, 8), HasSubstr("f: tensor 'e': data overlaps"));
}

TEST(Header, ProductsDoNotWrapAround) {
  const std::string overflow = "shape and dtype do not make a number of bytes";
  // 2^32 * 2^32 elements wrap to 0; 2^61 elements of 64 bits wrap to 0 bits.
  EXPECT_THAT(refused_entry(entry("U8", "[4294967296,4294967296]", "[0,0]"), 0), HasSubstr(overflow));
  EXPECT_THAT(refused_entry(entry("F64", "[2305843009213693952]", "[0,0]"), 0), HasSubstr(overflow));
  EXPECT_THAT(refused_entry(entry("U8", "[9223372036854775807,3,0]", "[0,0]"), 0), HasSubstr(overflow));
  EXPECT_EQ(parsed(fmt::format(R"({{"a":{}}})", entry("U8", "[0,9223372036854775807,3]", "[0,0]")), 0).entries.size(),
            1u);
}

TEST(Header, NamesAreAnyText) {
  const Header header = parsed(fmt::format(R"({{"":{},"\u0000\"é":{}}})", kOne, entry("U8", "[0]", "[4,4]")), 4);
  EXPECT_EQ(header.entries[0].name, "");
  EXPECT_EQ(header.entries[1].name, std::string("\0\"é", 4));
}

TEST(Header, ErrorsHoldNoRawBytesOfTheFile) {
  const std::string name(100'000, 'x');
  EXPECT_LT(refused(fmt::format(R"({{"{}":1}})", name)).size(), 500u);
  EXPECT_LT(refused("{" + name).size(), 500u);
  EXPECT_THAT(refused("{\"\\u001b[31m\xc3\xa9\":1}"),
              AllOf(HasSubstr(R"('\u001b[31m\u00e9')"), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(refused("{\"a\":\x1b}"), Not(HasSubstr("\x1b")));
}

TEST(Header, DepthIsRefusedAtOnce) {
  EXPECT_THAT(refused("{\"a\":" + std::string(1'000'000, '[')), HasSubstr("found:    an array"));
  std::string objects = "{";
  for (int i = 0; i < 1'000'000; ++i) objects += "\"a\":{";
  EXPECT_THAT(refused(objects), HasSubstr("the key 'a'"));
  EXPECT_THAT(refused_entry(entry("F32", std::string(1'000'000, '['), "[0,4]")), HasSubstr("found:    an array"));
}

TEST(Header, EveryFlippedBitIsAnErrorOrAValidHeader) {
  const std::string whole = read_file(kData / "golden.safetensors", 1 << 20);
  const std::size_t length = static_cast<unsigned char>(whole[0]) + 256u * static_cast<unsigned char>(whole[1]);
  const std::uint64_t data_size = whole.size() - 8 - length;
  ASSERT_EQ(refused(whole.substr(8, length), data_size), "no error");
  int accepted = 0;
  for (std::size_t bit = 0; bit < length * 8; ++bit) {
    std::string flipped = whole.substr(8, length);
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const std::string error = refused(flipped, data_size);
    accepted += error == "no error";
  }
  EXPECT_GT(accepted, 100);  // letters of names and of metadata
}

TEST(Header, AMillionKeysTheSame) {
  std::string json = "{";
  for (int i = 0; i < 1'000'000; ++i) json += R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)";
  json.back() = '}';
  EXPECT_THAT(refused(json, 0), HasSubstr("f: tensor 'a': name appears twice"));
}

}  // namespace
}  // namespace pkv::containers
