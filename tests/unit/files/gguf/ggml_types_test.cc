#include "files/gguf/ggml_types.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "base/error.h"
#include "files/containers/tensor_file.h"

namespace pkv::gguf {
namespace {

using quant::Format;

TEST(GgmlTypes, NumbersLeadToFormats) {
  ASSERT_NE(find_type(12), nullptr);
  EXPECT_EQ(readable_as(*find_type(12)), quant::ElementType(Format::q4_k));
  EXPECT_EQ(readable_as(*find_type(30)), quant::ElementType(DType::bf16));
  EXPECT_EQ(readable_as(*find_type(0)), quant::ElementType(DType::f32));
}

// Every format that lies in blocks of its own has one number, is called as ggml calls it, and has blocks of its size.
TEST(GgmlTypes, EveryFormatHasOneNumber) {
  std::multiset<std::string_view> numbered;
  for (std::uint32_t n = 0; n < 100; ++n) {
    const GgmlType* t = find_type(n);
    const auto element = t == nullptr ? std::nullopt : readable_as(*t);
    if (!element || !std::holds_alternative<Format>(*element)) continue;
    EXPECT_EQ(t->name, name_of(*element)) << n;
    const quant::BlockLayout block = quant::layout_of(*element);
    EXPECT_TRUE(std::cmp_equal(t->elements, block.weights) && std::cmp_equal(t->bytes, block.bytes)) << n;
    numbered.insert(t->name);
  }
  for (const Format format : quant::formats()) {
    const bool of_ggml = quant::traits(format).scaling == quant::Scaling::inside;
    EXPECT_EQ(numbered.count(quant::name_of(format)), of_ggml ? 1u : 0u) << quant::name_of(format);
  }
}

TEST(GgmlTypes, WhatCannotBeReadHasANameAndAWayOut) {
  for (const std::uint32_t n : {16, 17, 18, 19, 21, 22, 29, 41, 42}) {
    const GgmlType* t = find_type(n);
    ASSERT_NE(t, nullptr) << n;
    EXPECT_FALSE(readable_as(*t)) << n;
    EXPECT_FALSE(t->instead.empty()) << n;
  }
  for (const std::uint32_t n : {4u, 5u, 9u, 15u, 31u, 33u, 36u, 38u, 43u, 137u, 0xffffffffu}) {
    EXPECT_EQ(find_type(n), nullptr) << n << " was taken back, never given, or is in no file";
  }
}

TEST(GgmlTypes, TheWayOutIsSaidOfATensorThatIsAskedFor) {
  const GgmlType& t = *find_type(17);
  try {
    containers::fail_unreadable({.name = "blk.0.attn_q.weight", .dtype = t.name, .instead = t.instead});
  } catch (const Error& e) {
    EXPECT_EQ(e.text().found, "IQ2_XS");
    EXPECT_EQ(e.text().hint, t.instead);
  }
}

}  // namespace
}  // namespace pkv::gguf
