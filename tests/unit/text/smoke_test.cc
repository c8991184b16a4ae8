#include <gtest/gtest.h>

#include "text/text.h"
TEST(Smoke, Builds) { EXPECT_THROW(pkv::text::Tokenizer::parse("{"), std::exception); }
