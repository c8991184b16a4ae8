#include "engine/quant/ggml.h"

#include <gtest/gtest.h>

#include <set>

namespace pkv::quant {
namespace {

TEST(GgmlTypes, NumbersLeadToFormats) {
  ASSERT_NE(ggml_type(12), nullptr);
  EXPECT_EQ(ggml_type(12)->element, ElementType(Format::q4_k));
  EXPECT_EQ(ggml_type(30)->element, ElementType(DType::bf16));
  EXPECT_EQ(ggml_type(0)->element, ElementType(DType::f32));
}

// Every format that lies in blocks of its own has one number, and is called as ggml calls it.
TEST(GgmlTypes, EveryFormatHasOneNumber) {
  std::multiset<std::string_view> numbered;
  for (std::uint32_t n = 0; n < 100; ++n) {
    const GgmlType* t = ggml_type(n);
    if (t == nullptr || !t->element || !std::holds_alternative<Format>(*t->element)) continue;
    EXPECT_EQ(t->name, name_of(*t->element)) << n;
    numbered.insert(t->name);
  }
  for (const Format format : formats()) {
    const bool of_ggml = traits(format).scaling == Scaling::inside;
    EXPECT_EQ(numbered.count(name_of(format)), of_ggml ? 1u : 0u) << name_of(format);
  }
}

TEST(GgmlTypes, WhatCannotBeReadHasANameAndAWayOut) {
  for (const std::uint32_t n : {9, 15, 16, 17, 18, 19, 21, 22, 29, 41, 42}) {
    const GgmlType* t = ggml_type(n);
    ASSERT_NE(t, nullptr) << n;
    EXPECT_FALSE(t->element) << n;
    EXPECT_FALSE(t->instead.empty()) << n;
  }
  for (const std::uint32_t n : {4u, 5u, 31u, 33u, 36u, 38u, 43u, 137u, 0xffffffffu}) {
    EXPECT_EQ(ggml_type(n), nullptr) << n << " was taken back, or never given";
  }
}

}  // namespace
}  // namespace pkv::quant
