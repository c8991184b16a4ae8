#include "files/gguf/container.h"

#include <cmath>
#include <utility>

#include "support/gguf_bytes.h"
#include "unit/files/support.h"

namespace pkv {
namespace {

using support::gguf_text;
using support::GgufBytes;
using support::little_endian;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

gguf::Header parse(std::string_view bytes) {
  return gguf::parse_header(std::as_bytes(std::span(bytes.data(), bytes.size())), "x.gguf");
}
std::string refusal(std::string_view bytes) {
  return error_of([&] { parse(bytes); });
}

// What llama.cpp's own writer wrote (data/make_gguf.py).
TEST(GgufContainer, ReadsEveryTypeOfMetadata) {
  const gguf::Container file = gguf::Container::open(kData / "golden.gguf");
  const gguf::Metadata& m = file.metadata();
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(m.pairs().size(), 18u);
  constexpr std::int64_t kLeast = INT64_MIN, kMost = INT64_MAX;
  EXPECT_EQ(m.integer("t.u8", kLeast, kMost), 255);
  EXPECT_EQ(m.integer("t.i8", kLeast, kMost), -128);
  EXPECT_EQ(m.integer("t.u16", kLeast, kMost), 65535);
  EXPECT_EQ(m.integer("t.i16", kLeast, kMost), -32768);
  EXPECT_EQ(m.integer("t.u32", kLeast, kMost), 4294967295);
  EXPECT_EQ(m.integer("t.i32", kLeast, kMost), -2147483648LL);
  EXPECT_EQ(m.integer("t.i64", kLeast, kMost), INT64_MIN);
  EXPECT_EQ(m.number("t.f32"), static_cast<double>(1e-5f));
  EXPECT_EQ(m.number("t.f64"), 0.1);
  EXPECT_EQ(m.flag("t.flag"), true);
  EXPECT_EQ(m.text("t.text"), "a \"text\" \u00e9\u4e2d\n");
  EXPECT_THAT(m.texts("t.texts"), ElementsAre("a", "", "\u2581the", "\u0120b"));
  EXPECT_THAT(m.numbers("t.numbers"), ElementsAre(0.5f, -2.f));
  EXPECT_THAT(m.integers("t.integers", -9, 9), ElementsAre(1, -2, 3));
  EXPECT_THAT(m.integers("t.flags", 0, 1), ElementsAre(1, 0));
  EXPECT_THAT(m.integers("t.bytes", 0, 255), ElementsAre(0, 7, 255));
  EXPECT_EQ(m.integer("absent", 0, 1), std::nullopt);
  EXPECT_THAT(m.unread(), ElementsAre("general.architecture: 'llama'", "t.u64: 18446744073709551615"));
}

TEST(GgufContainer, ReadsWhereTensorsLie) {
  const gguf::Container file = gguf::Container::open(kData / "golden.gguf");
  std::vector<std::string> seen;
  for (const gguf::Info& t : file.tensors()) {
    const auto data = file.data_of(t);
    seen.push_back(std::string(t.name) + " " + std::string(t.type->name) + " " + shape_text(t.shape) + " " +
                   std::to_string(data.size()));
  }
  EXPECT_THAT(seen, ElementsAre("f32 F32 [2, 3] 24", "f16 F16 [3] 6", "bf16 BF16 [1, 2] 4", "q8_0 Q8_0 [2, 32] 68",
                                "q4_k Q4_K [1, 256] 144", "i32 I32 [2, 1, 2] 16"));
  const auto q8 = file.data_of(file.tensors()[3]);
  for (std::size_t i = 0; i < q8.size(); ++i) ASSERT_EQ(static_cast<std::size_t>(q8[i]), i);
}

TEST(GgufContainer, SaysWhatCannotBeRead) {
  const gguf::Container file = gguf::Container::open(kData / "golden.gguf");
  const gguf::Metadata& m = file.metadata();
  EXPECT_THAT(error_of([&] { m.integer("t.u64", 0, INT64_MAX); }), HasSubstr("t.u64"));
  EXPECT_THAT(error_of([&] { m.integer("t.i8", 0, 9); }), AllOf(HasSubstr("t.i8"), HasSubstr("-128")));
  EXPECT_THAT(error_of([&] { m.integer("t.text", 0, 9); }), AllOf(HasSubstr("an integer"), HasSubstr("text")));
  EXPECT_THAT(error_of([&] { m.integer("t.integers", 0, 9); }), HasSubstr("an array of 3 i32"));
  EXPECT_THAT(error_of([&] { m.numbers("t.bytes"); }), HasSubstr("an array of 3 u8"));
  EXPECT_THAT(error_of([&] { m.texts("t.text"); }), HasSubstr("an array of texts"));
  EXPECT_THAT(error_of([&] { m.flag("t.u8"); }), HasSubstr("a flag"));
  EXPECT_THAT(error_of([&] { m.text("t.u8"); }), HasSubstr("a text"));
}

GgufBytes small() {
  GgufBytes file;
  file.text("general.architecture", "llama");
  file.tensor("a", 0, {2, 1}, std::string(8, 'x'));
  file.tensor("b", 0, {4}, std::string(16, 'y'));
  return file;
}

TEST(GgufContainer, ReadsVersionsTwoAndThree) {
  for (const std::uint32_t version : {2u, 3u}) {
    GgufBytes file = small();
    file.version = version;
    const gguf::Header header = parse(file.bytes());
    EXPECT_EQ(header.version, version);
    EXPECT_EQ(header.tensors[1].offset, 32u);
    EXPECT_EQ(header.data_offset % 32, 0u);
  }
}

TEST(GgufContainer, RefusesOtherVersionsAndMachines) {
  for (const auto& [version, says] : {std::pair{1u, "version 1"}, std::pair{4u, "version 4"},
                                      std::pair{0x03000000u, "big-endian"}, std::pair{0x02000000u, "big-endian"}}) {
    GgufBytes file = small();
    file.version = version;
    EXPECT_THAT(refusal(file.bytes()), HasSubstr(says));
  }
  EXPECT_THAT(refusal(""), HasSubstr("an empty file"));
  EXPECT_THAT(refusal("GGML rest"), AllOf(HasSubstr("is not a GGUF file"), HasSubstr("GGML")));
}

// Cut anywhere, the file is refused; whole it is not.
TEST(GgufContainer, RefusesEveryTruncation) {
  const std::string whole = small().bytes();
  EXPECT_EQ(refusal(whole), "no error");
  const std::size_t last_data = whole.size() - 16;  // what follows is padding
  for (std::size_t size = 0; size < last_data; ++size) {
    ASSERT_NE(refusal(std::string_view(whole).substr(0, size)), "no error") << size;
  }
}

TEST(GgufContainer, RefusesHostileCounts) {
  constexpr std::uint64_t kHuge = ~std::uint64_t{0};
  for (const std::uint64_t n : {kHuge, kHuge / 2, std::uint64_t{1} << 40, std::uint64_t{1000}}) {
    std::string bytes = small().bytes();
    bytes.replace(8, 8, little_endian(n));
    EXPECT_THAT(refusal(bytes), HasSubstr("number of tensors is too large"));
    bytes = small().bytes();
    bytes.replace(16, 8, little_endian(n));
    EXPECT_THAT(refusal(bytes), HasSubstr("number of keys is too large"));
    bytes = small().bytes();
    bytes.replace(24, 8, little_endian(n));
    EXPECT_THAT(refusal(bytes), HasSubstr("a key's length is too large"));
  }
  for (const std::uint32_t type : {0u, 4u, 8u, 12u}) {
    GgufBytes file;
    file.pair("array", 9, little_endian(type) + little_endian(kHuge / 8));
    EXPECT_THAT(refusal(file.bytes()), HasSubstr("length of an array is too large"));
  }
  GgufBytes text;
  text.pair("text", 8, little_endian(kHuge));
  EXPECT_THAT(refusal(text.bytes()), HasSubstr("a text's length is too large"));
}

TEST(GgufContainer, RefusesBadMetadata) {
  const auto with = [](const auto& change) {
    GgufBytes file = small();
    change(file);
    return refusal(file.bytes());
  };
  EXPECT_THAT(with([](GgufBytes& f) { f.pair("k", 13, "x"); }), AllOf(HasSubstr("unknown type"), HasSubstr("13")));
  EXPECT_THAT(with([](GgufBytes& f) { f.pair("k", 9, little_endian(9u) + little_endian(std::uint64_t{1})); }),
              HasSubstr("array of arrays"));
  EXPECT_THAT(with([](GgufBytes& f) { f.pair("k", 9, little_endian(77u) + little_endian(std::uint64_t{1})); }),
              HasSubstr("unknown type"));
  EXPECT_THAT(with([](GgufBytes& f) { f.number("", 1u); }), HasSubstr("empty key"));
  EXPECT_THAT(with([](GgufBytes& f) { f.text("general.architecture", "x"); }), HasSubstr("appears twice"));
  for (const std::uint32_t alignment : {0u, 3u, 48u, 1u << 21, 1u << 31}) {
    EXPECT_THAT(with([&](GgufBytes& f) { f.number("general.alignment", alignment); }), HasSubstr("a power of two"));
  }
  EXPECT_THAT(with([](GgufBytes& f) { f.text("general.alignment", "32"); }), HasSubstr("general.alignment"));
  EXPECT_THAT(with([](GgufBytes& f) { f.numbers<std::uint32_t>("general.alignment", 4, {}); }),
              HasSubstr("general.alignment"));
}

TEST(GgufContainer, RefusesBadTensors) {
  const auto with = [](const auto& change) {
    GgufBytes file = small();
    change(file);
    return refusal(file.bytes());
  };
  using Dimensions = std::vector<std::uint64_t>;
  const auto typed = [&](std::uint32_t type, const Dimensions& dimensions) {
    return with([&](GgufBytes& f) { f.tensor_at("t", type, dimensions, 64); });
  };
  for (const std::uint32_t type : {4u, 5u, 9u, 15u, 31u, 33u, 36u, 38u}) {
    EXPECT_THAT(typed(type, {256}), AllOf(HasSubstr("type " + std::to_string(type)), HasSubstr("make the file anew")));
  }
  for (const std::uint32_t type : {43u, 137u, 0x7fffffffu, 0xffffffffu}) {
    EXPECT_THAT(typed(type, {256}), HasSubstr("made by another program"));
  }
  EXPECT_THAT(typed(0, {}), HasSubstr("rank"));
  EXPECT_THAT(typed(0, {1, 1, 1, 1, 1}), HasSubstr("rank"));
  EXPECT_THAT(typed(0, {0}), HasSubstr("dimension"));
  EXPECT_THAT(typed(0, {1, ~std::uint64_t{0}}), HasSubstr("dimension"));
  EXPECT_THAT(typed(12, {128, 2}), AllOf(HasSubstr("a multiple of 256 columns"), HasSubstr("[2, 128]")));
  const std::uint64_t large = std::uint64_t{1} << 31;
  EXPECT_THAT(typed(0, {large, large, large, large}), HasSubstr("shape overflows"));
  EXPECT_THAT(typed(0, {large, large / 2}), HasSubstr("beyond the end of the file"));
  EXPECT_THAT(typed(0, {4}), HasSubstr("beyond the end of the file"));
  const auto placed = [&](std::uint64_t offset) {
    return with([&](GgufBytes& f) { f.tensor_at("t", 0, {1}, offset); });
  };
  EXPECT_THAT(placed(4), HasSubstr("not aligned"));
  EXPECT_THAT(placed(~std::uint64_t{31}), HasSubstr("beyond the end of the file"));
  EXPECT_THAT(placed(0), HasSubstr("overlaps"));
  EXPECT_THAT(placed(32), HasSubstr("overlaps"));
  EXPECT_THAT(with([](GgufBytes& f) { f.tensor("a", 0, {1}, "1234"); }), HasSubstr("tensor 'a'"));
  EXPECT_THAT(with([](GgufBytes& f) { f.tensor("", 0, {1}, "1234"); }), HasSubstr("empty name"));
}

TEST(GgufContainer, ReadsOtherAlignments) {
  for (const std::uint32_t alignment : {1u, 64u, 4096u}) {
    GgufBytes file;
    file.alignment = alignment;
    file.number("general.alignment", alignment);
    file.tensor("a", 1, {3}, "abcdef");
    file.tensor("b", 0, {1}, "wxyz");
    const std::string bytes = file.bytes();
    const gguf::Header header = parse(bytes);
    EXPECT_EQ(bytes.substr(header.data_offset + header.tensors[1].offset, 4), "wxyz") << alignment;
  }
}

TEST(GgufContainer, ReadsAFileWithoutTensors) {
  GgufBytes file;
  file.flag("split", true);
  const gguf::Header header = parse(file.bytes());
  EXPECT_TRUE(header.tensors.empty());
  EXPECT_EQ(header.pairs.size(), 1u);
}

class GgufFile : public InFolder {};
TEST_F(GgufFile, RefusesAPointerOfLfs) {
  put(folder_ / "x.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  EXPECT_THAT(error_of([&] { gguf::Container::open(folder_ / "x.gguf"); }), HasSubstr("Git LFS"));
}

}  // namespace
}  // namespace pkv
