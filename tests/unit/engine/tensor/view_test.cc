#include "engine/tensor/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "engine/tensor/buffer.h"

namespace pkv {
namespace {

using testing::ElementsAre;

// A matrix [rows, columns] that counts its elements.
class Counted : public testing::Test {
 protected:
  Counted() : buffer_(DType::f32, {3, 4}) {
    float next = 0;
    for (float& x : buffer_.span<float>()) x = next++;
  }
  std::vector<float> read(const View& v) const {
    std::vector<float> all;
    for (std::int64_t r = 0; r < v[0]; ++r) {
      for (std::int64_t c = 0; c < v[1]; ++c) all.push_back(v.as<float>()[r * v.step(0) + c * v.step(1)]);
    }
    return all;
  }
  const View& view() const { return buffer_.view(); }

 private:
  Buffer buffer_;
};

TEST_F(Counted, RowsAreSomeOfTheFirstDimension) {
  const View middle = view().rows(1, 2);
  EXPECT_THAT(read(middle), ElementsAre(4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_EQ(shape_text(middle), "[2, 4]");
  EXPECT_TRUE(middle.dense());
  EXPECT_EQ(middle.bytes(), 2 * 4 * sizeof(float));
  EXPECT_EQ(view().rows(3, 0).elements(), 0);
}

TEST_F(Counted, ColumnsKeepTheStrideOfRows) {
  const View some = view().columns(1, 2);
  EXPECT_THAT(read(some), ElementsAre(1, 2, 5, 6, 9, 10));
  EXPECT_EQ(some.step(0), 4);
  EXPECT_FALSE(some.dense());
  EXPECT_THAT(read(some.rows(2, 1)), ElementsAre(9, 10));
}

// A dimension of one element has no neighbour that its stride could lead to.
TEST_F(Counted, OneRowOfSomeColumnsIsDense) {
  EXPECT_TRUE(view().columns(1, 2).rows(0, 1).dense());
  EXPECT_TRUE(view().columns(0, 4).dense());
}

TEST(View, OfNothingIsEmpty) {
  const View none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.rank, 0);
  EXPECT_EQ(shape_text(none), "[]");
}

TEST(View, CountsElementsAndBytesOfItsDtype) {
  const View v(nullptr, DType::bf16, {2, 3, 5, 7});
  EXPECT_EQ(v.elements(), 210);
  EXPECT_EQ(v.bytes(), 420u);
  EXPECT_THAT(v.stride, ElementsAre(105, 35, 7, 1));
  EXPECT_TRUE(v.dense());
}

TEST(View, HasAtMostFourDimensions) { EXPECT_THROW(View(nullptr, DType::f32, {1, 1, 1, 1, 1}), Error); }

TEST(Buffer, IsAlignedAndItsOwn) {
  for (const std::int64_t n : {1, 63, 64, 65}) {
    const Buffer b(DType::i8, {n});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.view().data) % Buffer::kAlignment, 0u) << n;
    EXPECT_EQ(b.span<std::int8_t>().size(), static_cast<std::size_t>(n));
  }
  Buffer from(DType::f32, {2});
  from.span<float>()[1] = 5;
  const Buffer to = std::move(from);
  EXPECT_EQ(to.span<float>()[1], 5);
  EXPECT_FALSE(Buffer());
}

}  // namespace
}  // namespace pkv
