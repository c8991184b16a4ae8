// ggml's formats against PyPI's gguf: what it makes of blocks, recorded by tools/make_gguf_quant_goldens.py. Every bit
// must be the same; where it gives something that is not a number, any such will do.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "files/containers/safetensors.h"
#include "support/places.h"

namespace pkv::quant {
namespace {

const containers::SafeTensors& recorded() {
  static const auto file = containers::SafeTensors::open(support::source() / "tests/golden/quant/gguf.safetensors");
  return file;
}

bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

class FromGguf : public testing::TestWithParam<Format> {
 protected:
  FromGguf()
      : blocks_(recorded().get(std::string(name_of(GetParam())) + "/blocks")),
        values_(recorded().get(std::string(name_of(GetParam())) + "/values")) {}
  // The recorded blocks as a matrix of that many rows.
  Matrix matrix(std::int64_t rows) const {
    Matrix m{.format = GetParam(), .out = rows, .in = values_.view().elements() / rows};
    m.codes = m.codes_in(blocks_.data.data());
    return m;
  }
  float value(std::int64_t i) const { return load_element<float>(values_.data.data(), i); }

  const containers::Tensor &blocks_, &values_;
};

TEST_P(FromGguf, BlocksAreOfTheSizeThatTheRowSays) {
  const BlockLayout layout = traits(GetParam()).codes;
  EXPECT_EQ(blocks_.shape[1], layout.bytes);
  EXPECT_EQ(values_.shape[1], layout.weights);
  EXPECT_EQ(matrix(1).code_bytes(), blocks_.data.size());
}

TEST_P(FromGguf, EveryValueIsTheSame) {
  for (const std::int64_t rows : {1, 2, 7}) {
    const Matrix m = matrix(rows);
    std::vector<float> row(static_cast<std::size_t>(m.in));
    for (std::int64_t r = 0; r < rows; ++r) {
      decode(m, r, 0, row);
      for (std::int64_t i = 0; i < m.in; ++i) {
        const float got = row[static_cast<std::size_t>(i)], want = value(r * m.in + i);
        ASSERT_TRUE(same(got, want)) << "row " << r << " of " << rows << ", element " << i << ": " << got
                                     << ", gguf has " << want;
      }
    }
  }
}

TEST_P(FromGguf, PartsOfRows) {
  const Matrix m = matrix(2);
  for (const std::int64_t first : {0, 1, 31, 32, 45, 255, 256}) {
    for (const std::int64_t count : {0, 1, 2, 33, 64}) {
      if (first + count > m.in) continue;
      std::vector<float> part(static_cast<std::size_t>(count) + 1, 12345);
      decode(m, 1, first, {part.data(), static_cast<std::size_t>(count)});
      for (std::int64_t i = 0; i < count; ++i) {
        ASSERT_TRUE(same(part[static_cast<std::size_t>(i)], value(m.in + first + i))) << first << " + " << i;
      }
      EXPECT_EQ(part.back(), 12345);
    }
  }
}

std::vector<Format> formats_of_ggml() {
  std::vector<Format> of_ggml;
  for (const Format format : formats()) {
    if (traits(format).scaling == Scaling::inside) of_ggml.push_back(format);
  }
  return of_ggml;
}

INSTANTIATE_TEST_SUITE_P(Each, FromGguf, testing::ValuesIn(formats_of_ggml()),
                         [](const auto& test) { return std::string(name_of(test.param)); });

}  // namespace
}  // namespace pkv::quant
