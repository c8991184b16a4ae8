// The rows of formats, and what Matrix makes of them. The numbers themselves: tests/golden/quant_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <vector>

#include "engine/quant/quant.h"

namespace pkv::quant {
namespace {

using testing::ElementsAre;

Matrix matrix(Format format, std::int64_t out, std::int64_t in, std::int64_t block = kDefaultBlock) {
  Matrix m;
  m.format = format, m.out = out, m.in = in, m.block = block;
  return m;
}

TEST(QuantFormats, NamesLeadBack) {
  for (const Format format : formats()) EXPECT_EQ(format_from_name(name_of(format)), format) << name_of(format);
  EXPECT_EQ(name_of(Format::int8), "int8");
  EXPECT_EQ(name_of(Format::fp4), "fp4");
  EXPECT_EQ(name_of(Format::nf4), "nf4");
  for (const char* name : {"", "NF4", "fp16", "int4"}) EXPECT_FALSE(format_from_name(name)) << name;
}

TEST(QuantFormats, BlockSizesArePowersOfTwo) {
  for (const std::int64_t block : {32, 64, 128, 4096}) EXPECT_TRUE(is_block_size(block)) << block;
  for (const std::int64_t block : {-64, 0, 1, 16, 33, 96, 8192}) EXPECT_FALSE(is_block_size(block)) << block;
}

// Codes of 4 bits fill the last byte; blocks that share a scale may cross rows and end early.
TEST(QuantFormats, SizesOfAMatrix) {
  const Matrix m = matrix(Format::nf4, 3, 45, 64);
  EXPECT_EQ(m.code_bytes(), 68u);
  EXPECT_EQ(m.scale_count(), 3);
  EXPECT_EQ(m.scale_bytes(), 12u);
  EXPECT_EQ(m.bytes(), 80u);
  EXPECT_EQ(m.units(), 3);
  EXPECT_EQ(shape_text(m.codes_in(nullptr)), "[68]");
  EXPECT_EQ(m.codes_in(nullptr).dtype, DType::u8);
  const Matrix rows = matrix(Format::int8, 3, 45);
  EXPECT_EQ(rows.code_bytes(), 135u);
  EXPECT_EQ(rows.scale_count(), 3);
  EXPECT_EQ(shape_text(rows.codes_in(nullptr)), "[3, 45]");
  EXPECT_EQ(rows.codes_in(nullptr).dtype, DType::i8);
  EXPECT_EQ(shape_text(rows.scales_in(nullptr)), "[3]");
}

TEST(QuantFormats, ElementsAreDTypesOrFormats) {
  EXPECT_EQ(bytes_of(DType::f16, 5), 10u);
  EXPECT_EQ(bytes_of(Format::int8, 5), 5u);
  EXPECT_EQ(bytes_of(Format::nf4, 5), 3u) << "the last byte is filled up";
  EXPECT_EQ(name_of(ElementType(DType::bf16)), "bf16");
  EXPECT_EQ(name_of(ElementType(Format::fp4)), "fp4");
  EXPECT_EQ(layout_of(DType::f32).bytes, 4);
  EXPECT_EQ(layout_of(Format::nf4).weights, 2);
  EXPECT_EQ(bytes_of(Format::q6_k, 512), 420u);
}

// Those that matrices can be encoded in; the others are read from files (tests/golden/gguf_quant_test.cc).
std::vector<Format> encodable() {
  std::vector<Format> those;
  std::ranges::copy_if(formats(), std::back_inserter(those), [](Format f) { return traits(f).encode != nullptr; });
  return those;
}

// Memory for a matrix, and the codes of `values` [out, in] in it.
struct Encoded {
  std::vector<std::byte> codes;
  std::vector<float> scales;
  Matrix m;

  Encoded(Format format, std::int64_t out, std::int64_t in, const std::vector<float>& values)
      : m(matrix(format, out, in)) {
    codes.resize(m.code_bytes());
    scales.resize(static_cast<std::size_t>(m.scale_count()));
    m.codes = m.codes_in(codes.data());
    m.scales = m.scales_in(scales.data());
    encode(View(values.data(), DType::f32, {out, in}), m, 0, m.units());
  }
};

// How far a code's value may be off, of a scale: half of the widest gap between two values. int8 has 127 steps to a
// side and rounds to fp16 first.
double largest_error(Format format) {
  std::vector<float> values(code_values(format).begin(), code_values(format).end());
  if (values.empty()) return 0.5 / 127 + 0x1p-10;
  std::sort(values.begin(), values.end());
  std::adjacent_difference(values.begin(), values.end(), values.begin());
  return *std::max_element(values.begin() + 1, values.end()) / 2 + 1e-6;
}

TEST(QuantFormats, DecodedIsNearWhatWasEncoded) {
  std::vector<float> values(4 * 96), row(96);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(0.7f * static_cast<float>(i));
  for (const Format format : encodable()) {
    const Encoded e(format, 4, 96, values);
    for (std::int64_t r = 0; r < 4; ++r) {
      decode(e.m, r, 0, row);
      for (std::size_t i = 0; i < row.size(); ++i) {
        const float want = values[static_cast<std::size_t>(r) * 96 + i];
        EXPECT_NEAR(row[i], want, largest_error(format)) << name_of(format) << " [" << r << ", " << i << "]";
      }
    }
  }
}

TEST(QuantFormats, UnitsAreEncodedApart) {
  std::vector<float> values(2 * 64, 1);
  std::fill(values.begin() + 64, values.end(), -3.f);
  for (const Format format : encodable()) {
    Encoded e(format, 2, 64, values);
    const auto codes = e.codes;
    EXPECT_THAT(e.scales, ElementsAre(1, 3)) << name_of(format);
    std::fill(e.codes.begin(), e.codes.end(), std::byte{0x55});
    encode(View(values.data(), DType::f32, {2, 64}), e.m, e.m.units() / 2, e.m.units() / 2);
    const auto half = static_cast<std::ptrdiff_t>(codes.size() / 2);
    EXPECT_TRUE(std::equal(codes.begin() + half, codes.end(), e.codes.begin() + half)) << name_of(format);
    EXPECT_EQ(e.codes.front(), std::byte{0x55}) << name_of(format);
  }
}

TEST(QuantFormats, DecodesPartsOfRows) {
  std::vector<float> values(2 * 64), row(64), part(5);
  std::iota(values.begin(), values.end(), -64.f);
  for (const Format format : encodable()) {
    const Encoded e(format, 2, 64, values);
    decode(e.m, 1, 0, row);
    decode(e.m, 1, 7, part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), row.begin() + 7)) << name_of(format);
  }
}

TEST(QuantActivations, OutliersStayAndTheRestShareAScale) {
  const std::vector<float> x{0.5f, -7, 1, 0, 8};
  const Activations a = encode_activations(x, 6);
  EXPECT_THAT(a.columns, ElementsAre(1, 4));
  EXPECT_THAT(a.values, ElementsAre(-7, 8));
  EXPECT_EQ(a.scale, 1);
  EXPECT_THAT(a.codes, ElementsAre(64, 0, 127, 0, 0)) << "63.5 is a tie, taken to the even one";
  EXPECT_THAT(encode_activations(x, 0).columns, testing::IsEmpty());
  EXPECT_EQ(encode_activations(x, 0).scale, 8);
}

TEST(QuantNested, ScalesSurviveIn8Bits) {
  std::vector<float> scales(300);
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = 1 + static_cast<float>(i % 7) / 8;
  const NestedScales n = encode_scales(scales);
  EXPECT_EQ(n.scales.size(), 2u);
  std::vector<float> back(scales.size());
  decode_scales(n.codes, n.scales, dynamic_map(), NestedScales::kBlock, n.offset, back);
  // Neighbours in the map are at most 0.9 / 64 apart, of the largest distance from the mean, which is below 0.4.
  for (std::size_t i = 0; i < scales.size(); ++i) EXPECT_NEAR(back[i], scales[i], 0.9 / 128 * 0.4) << i;
}

TEST(QuantNested, MapIsAscendingWithZeroAndOne) {
  const auto& map = dynamic_map();
  EXPECT_TRUE(std::is_sorted(map.begin(), map.end()));
  EXPECT_NE(std::find(map.begin(), map.end(), 0.f), map.end());
  EXPECT_EQ(map.back(), 1.f);
}

// Written out by hand: codes are 127 times the share of the largest, ties to even; the scale of 32 is rounded to fp16.
TEST(Quant, RoundsActivationsAsGgmlDoes) {
  std::vector<float> x(256, 0.f), out(256);
  x[0] = -100, x[1] = 50, x[2] = 10, x[32] = 127, x[33] = 0.5f, x[34] = 1.5f, x[35] = -2.5f;
  round_as_ggml(Format::q4_0, x, out);
  EXPECT_EQ(out[0], -127 * 0.78759765625f);
  EXPECT_EQ(out[1], 64 * 0.78759765625f);  // 63.5 is no code
  EXPECT_EQ(out[2], 13 * 0.78759765625f);
  EXPECT_EQ(out[3], 0);
  EXPECT_THAT(std::vector<float>(out.begin() + 32, out.begin() + 36), testing::ElementsAre(127, 0, 2, -2));
  EXPECT_EQ(out[64], 0);
  round_as_ggml(Format::q6_k, x, out);
  EXPECT_THAT(std::vector<float>(out.begin() + 32, out.begin() + 36), testing::ElementsAre(127, 0, 2, -2));
  EXPECT_EQ(out[0], -100);
  EXPECT_EQ(out[2], 10);
  x[32] = 100;
  round_as_ggml(Format::q6_k, x, out);
  EXPECT_EQ(out[1], 64 * (1 / 1.27f));
  EXPECT_EQ(out[33], 1 * (1 / 1.27f));
}

}  // namespace
}  // namespace pkv::quant
