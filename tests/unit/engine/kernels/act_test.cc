// That tables compute these functions: tests/kernels/act_test.cc.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/kernels/kernels.h"

namespace pkv::kernels {
namespace {

TEST(ActNames, EveryFunctionHasANameThatLeadsBack) {
  for (auto act = Act::identity; act <= Act::sqrtsoftplus; act = static_cast<Act>(static_cast<int>(act) + 1)) {
    EXPECT_FALSE(name_of(act).empty()) << static_cast<int>(act);
    EXPECT_EQ(act_from_name(name_of(act)), act) << name_of(act);
  }
}

TEST(ActNames, NamesOfOneFunctionAreThoseThatTransformersHas) {
  for (const char* name : {"gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", "gelu_python_tanh"}) {
    EXPECT_EQ(act_from_name(name), Act::gelu_tanh) << name;
  }
  EXPECT_EQ(act_from_name("swish"), act_from_name("silu"));
  for (const char* name : {"", "GELU", "prelu", "xielu"}) EXPECT_FALSE(act_from_name(name)) << name;
}

TEST(ActNames, Definitions) {
  EXPECT_EQ(apply(Act::identity, -3), -3);
  EXPECT_EQ(apply(Act::relu, -3), 0);
  EXPECT_EQ(apply(Act::relu2, 3), 9);
  EXPECT_EQ(apply(Act::relu6, 9), 6);
  EXPECT_EQ(apply(Act::leaky_relu, -100), -1);
  EXPECT_EQ(apply(Act::gelu, 0), 0);
  EXPECT_EQ(apply(Act::sigmoid, 0), 0.5);
  EXPECT_EQ(apply(Act::gelu_10, 50), 10);
  EXPECT_DOUBLE_EQ(apply(Act::silu, 1), 1 / (1 + std::exp(-1.)));
  EXPECT_DOUBLE_EQ(apply(Act::sqrtsoftplus, 0), std::sqrt(std::log(2.)));
}

}  // namespace
}  // namespace pkv::kernels
