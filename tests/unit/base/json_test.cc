#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_events.h"
#include "base/json_node.h"

namespace pkv {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string error_of(const auto& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::load);
    return e.what();
  }
  return "no error";
}

constexpr std::string_view kDocument =
    R"({"z": [1, -2, 1.0, 1e-05, true, null, "é\u001f"], "a": {"b": 18446744073709551615, "": {}}, "e": []})";

TEST(Json, IsWrittenAsNlohmannWritesIt) {
  const Json json = parse_json(kDocument, "f");
  const auto theirs = nlohmann::json::parse(kDocument);
  for (const bool ascii : {false, true}) {
    EXPECT_EQ(json.dump(-1, ascii), theirs.dump(-1, ' ', ascii));
    EXPECT_EQ(json.dump(2, ascii), theirs.dump(2, ' ', ascii));
  }
}

TEST(Json, NumbersAreEqualByValue) {
  EXPECT_EQ(Json(1), Json(1.0));
  EXPECT_EQ(Json(1u), Json(1));
  EXPECT_NE(Json(-1), Json(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_NE(Json(1), Json(true));
  EXPECT_NE(Json(0), Json());
}

TEST(Json, IntegersFitTheirRange) {
  EXPECT_TRUE(Json(3).fits(1, 3));
  EXPECT_FALSE(Json(3).fits(1, 2));
  EXPECT_FALSE(Json(3.0).fits(1, 3));
  EXPECT_FALSE(Json(std::numeric_limits<std::uint64_t>::max()).fits(-1, 3));
}

TEST(Json, AValueInAnErrorIsShort) {
  EXPECT_EQ(short_json(parse_json(R"({"b": [1, "é"], "a": null})", "f")), R"({"a":null,"b":[1,"\u00e9"]})");
  const std::string long_text = short_json(Json(Json::Array(100'000, std::string(1000, 'x'))));
  EXPECT_EQ(long_text, "[\"" + std::string(58, 'x') + "...");
  EXPECT_EQ(quote(std::string(1000, 'x'), 4), "'xxxx...'");
  EXPECT_EQ(quote("a'\n\xff"), "'a'\\n\\ufffd'");
}

TEST(Json, ErrorsNameThePath) {
  EXPECT_EQ(error_of([] { parse_json(R"({"a": [0, {"b": 1, "b": 2}]})", "f"); }), "f: a[1].b: key appears twice");
  EXPECT_THAT(error_of([] { parse_json("[[[1]]]", "f", 2); }), AllOf(HasSubstr("nested too deep"), HasSubstr("2")));
  EXPECT_THAT(error_of([] { parse_json("[1, x]", "f"); }), HasSubstr("f: byte 4: is not valid JSON"));
}

TEST(JsonNode, ErrorsNameFileAndPath) {
  const Json json = parse_json(kDocument, "f");
  const JsonNode root(json, "f");
  EXPECT_EQ(root.where(), "f");
  EXPECT_EQ(root.at("z").elements()[6].where(), "f: z[6]");
  EXPECT_EQ(root.at("z").elements()[0].integer(0, 1), 1);
  EXPECT_EQ(error_of([&] { root.at("z").elements()[1].integer(0, 5); }),
            "f: z[1]: has the wrong value\n  expected: an integer from 0 to 5\n  found:    -2");
  EXPECT_THAT(error_of([&] { root.at("z").elements()[2].integer(0, 5); }), HasSubstr("without a fraction"));
  EXPECT_EQ(error_of([&] { root.at("a").at("x"); }), "f: a.x: is missing");
  EXPECT_EQ(error_of([&] { root.only({"a", "z"}); }), "f: e: is not known here and would be ignored\n  found:    []");
  EXPECT_THAT(error_of([&] { root.text(); }), HasSubstr("expected: a text"));
}

TEST(JsonNode, TellsAbsentFromNull) {
  const Json json = parse_json(R"({"null": null, "flag": true})", "f");
  const JsonNode node(json, "f");
  EXPECT_TRUE(node.is_null_at("null") && !node.has("null") && node.find("null"));
  EXPECT_TRUE(!node.is_null_at("absent") && !node.has("absent") && !node.find("absent"));
  EXPECT_TRUE(node.flag_or("flag", false));
  EXPECT_TRUE(node.flag_or("null", true));
}

}  // namespace
}  // namespace pkv
