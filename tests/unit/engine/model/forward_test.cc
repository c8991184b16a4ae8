// What forward refuses, and in which words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "support/models.h"

namespace pkv::model {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string error_of(const auto& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::usage);
    return e.what();
  }
  return "no error";
}

class Forward : public testing::Test {
 protected:
  static std::filesystem::path bundled(const std::string& name) { return support::source() / "models" / name; }
  std::string refusal(const std::vector<Feed>& feeds) const {
    return error_of([&] { model_.forward(feeds); });
  }

  const Model model_ = support::load(bundled("tiny-gpt2"), "cpu", 1);
  const std::vector<std::int32_t> ids_{1, 2};
};

TEST_F(Forward, NothingToFeed) {
  EXPECT_EQ(refusal({}), "nothing to feed\n  expected: at least one feed\n  found:    none");
}

TEST_F(Forward, ASharedPastNamesBothFeeds) {
  Past one = model_.new_past(), two = model_.new_past();
  EXPECT_THAT(
      refusal({{.ids = ids_, .past = &two}, {.ids = ids_, .past = &one}, {.ids = ids_, .past = &one}}),
      AllOf(HasSubstr("two feeds of one call share a past"), HasSubstr("expected: a past of its own for each feed"),
            HasSubstr("found:    the same past for feeds 1 and 2"), HasSubstr("try:      Past::fork")));
}

TEST_F(Forward, AnotherModelsPastSaysWhereinItDiffers) {
  const Model half = support::load(bundled("tiny-gpt2"), "cpu", 1, {.past_dtype = DType::f16});
  Past other = half.new_past();
  EXPECT_THAT(refusal({{.ids = ids_, .past = &other}}),
              AllOf(HasSubstr("the past given is not one of this model"),
                    HasSubstr("expected: 5 layers, keys and values for 6 heads of size 16, fp32"),
                    HasSubstr("found:    5 layers, keys and values for 6 heads of size 16, fp16"),
                    HasSubstr("try:      Model::new_past")));
  EXPECT_THAT(refusal({{.ids = ids_}}), HasSubstr("found:    no past"));
}

TEST(Backend, AnUnknownOneNamesThoseThereAre) {
  EXPECT_THAT(error_of([] { kernels::Backend("gpu", 1); }),
              AllOf(HasSubstr("no such backend"), HasSubstr("expected: one of naive, cpu"), HasSubstr("found:    gpu"),
                    HasSubstr("try:      cpu")));
}

}  // namespace
}  // namespace pkv::model
