#include "files/gguf/metadata.h"

#include <nlohmann/json.hpp>

#include "files/gguf/container.h"
#include "unit/files/support.h"

namespace pkv {
namespace {

// The file of container_test.cc, which llama.cpp's own writer wrote.
TEST(GgufMetadata, IsWrittenAsJson) {
  const gguf::Container file = gguf::Container::open(kData / "golden.gguf");
  const auto json = [&](std::string_view key, std::uint64_t i = 0) {
    const std::string text = gguf::element_as_json(*file.metadata().find(key), i);
    EXPECT_TRUE(nlohmann::json::accept(text)) << key << ": " << text;
    return text;
  };
  EXPECT_EQ(json("t.u8"), "255");
  EXPECT_EQ(json("t.i64"), "-9223372036854775808");
  EXPECT_EQ(json("t.u64"), "18446744073709551615");
  EXPECT_EQ(json("t.f32"), "1e-05");
  EXPECT_EQ(json("t.f64"), "0.1");
  EXPECT_EQ(json("t.flag"), "true");
  EXPECT_EQ(json("t.text"), "\"a \\\"text\\\" \u00e9\u4e2d\\n\"");
  EXPECT_EQ(json("t.texts", 1), "\"\"");
  EXPECT_EQ(json("t.texts", 3), "\"\u0120b\"");
  EXPECT_EQ(json("t.numbers", 1), "-2");
  EXPECT_EQ(json("t.flags", 1), "false");
}

TEST(GgufMetadata, WhatIsNotFiniteIsNullInJson) {
  const std::uint32_t infinity = 0x7f800000u;
  const gguf::Value value{.type = gguf::ValueType::f32, .bytes = std::as_bytes(std::span(&infinity, 1))};
  EXPECT_EQ(gguf::element_as_json(value, 0), "null");
}

}  // namespace
}  // namespace pkv
