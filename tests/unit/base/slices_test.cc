#include "base/slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace pkv {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Slices, AreCountedFromEitherSide) {
  const std::vector<int> v{1, 2, 3, 4};
  EXPECT_THAT(take(v, 2), ElementsAre(1, 2));
  EXPECT_THAT(drop(v, 3), ElementsAre(4));
  EXPECT_THAT(drop(v, 4), IsEmpty());
  EXPECT_THAT(slice(v, 1, 2), ElementsAre(2, 3));
}

TEST(Slices, OfWhatMayBeWrittenMayBeWritten) {
  std::array<int, 3> a{};
  take(a, 1)[0] = 5;
  drop(std::span(a), 2)[0] = 7;
  EXPECT_THAT(a, ElementsAre(5, 0, 7));
}

}  // namespace
}  // namespace pkv
