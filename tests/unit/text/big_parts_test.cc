// What the fast reader of vocabulary and merges takes, and what it leaves to the other.
#include "text/big_parts.h"

#include <gtest/gtest.h>

#include "toys.h"

namespace pkv::text {
namespace {

TEST(BigParts, AreTakenHoweverTheyAreSpelled) {
  TokenizerFile file;
  const auto rest = take_big_parts(
      "{ \"a\" : [1, {\"model\": {\"vocab\": 2}}, \"]\\\"}\"],\n\"model\": {\"type\":\"BPE\", \"vocab\" : {\n"
      "\"a\": 0 , \"\\u00e9\\n\":1,\"\\uD83D\\ude00\\\"\\/\" :2147483647, \"\": 7},\"merges\":[ \"a b\", [ \"\\t\" , "
      "\"c d\" ] ] , \"x\" : null } }",
      file);
  ASSERT_TRUE(rest);
  EXPECT_EQ(*rest,
            "{ \"a\" : [1, {\"model\": {\"vocab\": 2}}, \"]\\\"}\"],\n\"model\": {\"type\":\"BPE\", \"vocab\" : {},"
            "\"merges\":[] , \"x\" : null } }");
  EXPECT_EQ(file.vocab.id("a"), 0);
  EXPECT_EQ(file.vocab.id("é\n"), 1);
  EXPECT_EQ(file.vocab.id("😀\"/"), 2147483647);
  EXPECT_EQ(file.vocab.id(""), 7);
  ASSERT_EQ(file.merges.size(), 2U);
  EXPECT_EQ(file.merges.left(0), "a");
  EXPECT_EQ(file.merges.right(0), "b");
  EXPECT_EQ(file.merges.left(1), "\t");
  EXPECT_EQ(file.merges.right(1), "c d");
}

TEST(BigParts, WhatIsSpelledOtherwiseIsLeft) {
  const auto taken = [](std::string_view model) {
    TokenizerFile file;
    return take_big_parts(joined({R"({"model":{)", model, "}}"}), file).has_value();
  };
  EXPECT_TRUE(taken(R"("vocab":{"a":0},"merges":[])"));
  for (const char* vocab : {R"("a":0,)", R"("a":-1)", R"("a":1.0)", R"("a":1e0)", R"("a":01)", R"("a":2147483648)",
                            R"("a":"0")", R"("a":0,"a":1)", R"("\ud83d":0)", R"("\ud83dx":0)", R"("\ude00":0)",
                            R"("\u00g0":0)", R"("\x":0)", "\"\xff\":0", "\"\n\":0", R"("a" 0)", R"("a":0 "b":1)"}) {
    EXPECT_FALSE(taken(joined({R"("vocab":{)", vocab, "}"}))) << vocab;
  }
  for (const char* merges : {R"("ab")", R"("a b c")", R"(["a"])", R"(["a","b","c"])", R"(["a",1])",
                             R"("#version: 0.2")", R"("a b",)", "1", "\"a"}) {
    EXPECT_FALSE(taken(joined({R"("vocab":{"a":0},"merges":[)", merges, "]"}))) << merges;
  }
  EXPECT_FALSE(taken(R"("vocab":{"a":0},"vocab":{"b":0})"));
  EXPECT_FALSE(taken(R"("type":"BPE")"));
}

// Errors have the places of the whole text.
TEST(BigParts, ErrorsBehindThemNameTheByteOfTheFile) {
  const std::string json = R"({"model":{"vocab":{"a":0},"merges":[]},"version":x})";
  EXPECT_TRUE(refusal(json).starts_with("tokenizer.json: byte 49: is not valid JSON")) << refusal(json);
}

}  // namespace
}  // namespace pkv::text
