#include "base/span.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace pkv {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Span, PartsByCounts) {
  const std::vector<int> v{1, 2, 3, 4};
  EXPECT_THAT(first(v, 2), ElementsAre(1, 2));
  EXPECT_THAT(rest(v, 3), ElementsAre(4));
  EXPECT_THAT(rest(v, 4), IsEmpty());
  EXPECT_THAT(middle(v, 1, 2), ElementsAre(2, 3));
}

TEST(Span, PartsOfWhatMayBeWrittenMayBeWritten) {
  std::array<int, 3> a{};
  first(a, 1)[0] = 5;
  rest(std::span(a), 2)[0] = 7;
  EXPECT_THAT(a, ElementsAre(5, 0, 7));
}

}  // namespace
}  // namespace pkv
