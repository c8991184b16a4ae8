#include "base/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace pkv {
namespace {

const std::vector<std::string_view> kNames{"check",     "review", "logits",      "tokenize",     "cache",
                                           "tiny-gpt2", "--text", "--text-file", "--temperature"};

TEST(Nearest, IsWhatALetterMakesOfIt) {
  EXPECT_EQ(nearest("chek", kNames), "check");
  EXPECT_EQ(nearest("chekc", kNames), "check");
  EXPECT_EQ(nearest("tiny-gtp2", kNames), "tiny-gpt2");
  EXPECT_EQ(nearest("--txt", kNames), "--text");
  EXPECT_EQ(nearest("Review", kNames), "review");
  EXPECT_EQ(nearest("tokenise", kNames), "tokenize");
}

TEST(Nearest, IsWhatBeginsSoAndIsTheOnlyOne) {
  EXPECT_EQ(nearest("--temp", kNames), "--temperature");
  EXPECT_EQ(nearest("log", kNames), "logits");
  EXPECT_EQ(nearest("c", kNames), "");
}

TEST(Nearest, IsNothingWhereNothingIsNear) {
  EXPECT_EQ(nearest("frobnicate", kNames), "");
  const std::vector<std::string_view> formats{"int8", "cpu", "json"};
  EXPECT_EQ(nearest("int4", formats), "");
  EXPECT_EQ(nearest("gpu", formats), "");
  EXPECT_EQ(nearest("jsn", formats), "json");
  EXPECT_EQ(nearest("", kNames), "");
  EXPECT_EQ(nearest("x", kNames), "");
  EXPECT_EQ(nearest("--", kNames), "");
  EXPECT_EQ(nearest(std::string(5000, 'c'), kNames), "");
  EXPECT_EQ(did_you_mean("chek", kNames), "did you mean check?");
  EXPECT_EQ(did_you_mean("frobnicate", kNames), "");
}

}  // namespace
}  // namespace pkv
