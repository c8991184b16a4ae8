// Every byte is held against nlohmann's dump: what the program wrote with it must stay as it was.
#include "base/json_writer.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <vector>

namespace pkv {
namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& json, int indent = 2) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// Writes the tree with the writer.
void write(JsonWriter& w, const Json& json) {
  switch (json.type()) {
    case Json::value_t::object:
      return w.object([&] {
        for (const auto& [name, value] : json.items()) w.key(name), write(w, value);
      });
    case Json::value_t::array:
      return w.array([&] {
        for (const Json& value : json) write(w, value);
      });
    case Json::value_t::string:
      return w.value(json.get_ref<const std::string&>());
    case Json::value_t::boolean:
      return w.value(json.get<bool>());
    case Json::value_t::number_integer:
      return w.value(json.get<std::int64_t>());
    case Json::value_t::number_unsigned:
      return w.value(json.get<std::uint64_t>());
    case Json::value_t::number_float:
      return w.value(json.get<double>());
    default:
      return w.null();
  }
}

std::string written(const Json& json, int indent = 2) {
  JsonWriter w(indent);
  write(w, json);
  return std::move(w).text();
}

Json random_json(std::mt19937_64& random, int depth) {
  switch (random() % (depth > 0 ? 9 : 7)) {
    case 0:
      return nullptr;
    case 1:
      return random() % 2 == 0;
    case 2:
      return static_cast<std::int64_t>(random());
    case 3:
      return random();
    case 4:
      return std::bit_cast<double>(random());
    case 5:
      return static_cast<double>(random() % 1000) / 100;
    case 6: {
      std::string text(random() % 8, ' ');
      for (char& c : text) c = static_cast<char>(random());
      return text;
    }
    case 7: {
      Json all = Json::object();
      for (auto n = random() % 4; n > 0; --n) all[std::to_string(random() % 1000)] = random_json(random, depth - 1);
      return all;
    }
    default: {
      Json all = Json::array();
      for (auto n = random() % 4; n > 0; --n) all.push_back(random_json(random, depth - 1));
      return all;
    }
  }
}

TEST(JsonWriter, WritesTreesAsNlohmannDoes) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 3000; ++i) {
    const Json json = random_json(random, 4);
    for (const int indent : {2, 1, JsonWriter::kOneLine}) ASSERT_EQ(written(json, indent), dumped(json, indent));
  }
}

TEST(JsonWriter, WritesNumbersAsNlohmannDoes) {
  const double cases[] = {0.0,
                          -0.0,
                          1.0,
                          1e-5,
                          1e-4,
                          0.1,
                          1e15,
                          1e16,
                          123456789012345680.0,
                          5e-324,
                          1.7976931348623157e308,
                          0.1f,
                          1.0 / 3,
                          std::numeric_limits<double>::infinity(),
                          std::nan("")};
  for (const double value : cases) EXPECT_EQ(json_number(value), Json(value).dump());
  EXPECT_EQ(json_number(1), "1.0");
  EXPECT_EQ(json_number(1e-5), "1e-05");
  EXPECT_EQ(json_number(std::nan("")), "null");
}

TEST(JsonWriter, WritesTextsAsNlohmannDoes) {
  std::string all;
  for (int c = 0; c < 0x80; ++c) all += static_cast<char>(c);
  std::vector<std::string> texts{"",
                                 all,
                                 "é",
                                 "\U0001F600",
                                 "\xff",
                                 "a\xc3",
                                 "\xe2\x82",
                                 "\xe2\x82z",
                                 "\xed\xa0\x80",
                                 "\xf0\x9f\x98",
                                 "\xf4\x90\x80\x80",
                                 "\xc0\x80"};
  std::mt19937_64 random(2);
  for (int i = 0; i < 20000; ++i) {
    std::string text(random() % 6, ' ');
    // Of bytes that matter to UTF-8: plain, continuation, leading ones of each length, never valid ones.
    constexpr auto kBytes = std::to_array<unsigned char>({'a', 0x7f, 0x80, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf,
                                                          0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff});
    for (char& c : text) c = static_cast<char>(kBytes[random() % kBytes.size()]);
    texts.push_back(text);
  }
  for (const std::string& text : texts) {
    for (const bool ascii : {false, true}) {
      ASSERT_EQ(json_text(text, ascii), Json(text).dump(-1, ' ', ascii, Json::error_handler_t::replace));
    }
  }
}

struct Point {
  int x, y;
};
void write_json(JsonWriter& w, const Point& p) {
  w.object([&] {
    w.member("x", p.x);
    w.member("y", p.y);
  });
}

TEST(JsonWriter, TakesWhatTheProgramHas) {
  JsonWriter w(JsonWriter::kOneLine);
  const std::string owned = "text";
  w.object([&] {
    w.member("literal", "text");
    w.member("view", std::string_view(owned).substr(1));
    w.member("none", nullptr);
    w.member("flag", true);
    w.member("byte", std::uint8_t{200});
    w.member("size", std::size_t{3});
    w.member("negative", std::int64_t{-3});
    w.member("float", 0.1f);
    w.member("there", std::optional<double>(2));
    w.member("not_there", std::optional<double>());
    w.member("list", std::vector<std::int32_t>{1, 2});
    w.member("flags", std::vector<bool>{true, false});
    w.member("lists", std::vector<std::vector<std::string>>{{}, {"a"}});
    w.member("points", std::vector<Point>{{1, 2}});
    w.member("point", std::optional<Point>({3, 4}));
    w.array("array", [&] {
      w.raw(R"({"a":1})");
      w.null();
    });
    w.object("empty", [] {});
  });
  EXPECT_EQ(w.text(), R"({"literal":"text","view":"ext","none":null,"flag":true,"byte":200,"size":3,"negative":-3,)"
                      R"("float":0.10000000149011612,"there":2.0,"not_there":null,"list":[1,2],"flags":[true,false],)"
                      R"("lists":[[],["a"]],"points":[{"x":1,"y":2}],"point":{"x":3,"y":4},)"
                      R"("array":[{"a":1},null],"empty":{}})");
}

}  // namespace
}  // namespace pkv
