#include "engine/tensor/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace pkv {
namespace {

constexpr int kDTypes = static_cast<int>(DType::f64) + 1;

// Each table of names is a way there and back, and no two dtypes share one.
TEST(DType, EveryNameLeadsBack) {
  std::set<std::string_view> names, safetensors, torch;
  for (int i = 0; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(from_name(name_of(dtype)), dtype);
    EXPECT_EQ(from_safetensors_name(safetensors_name(dtype)), dtype);
    EXPECT_EQ(from_torch_name(torch_name(dtype)), dtype);
    names.insert(name_of(dtype)), safetensors.insert(safetensors_name(dtype)), torch.insert(torch_name(dtype));
  }
  for (const auto& set : {names, safetensors, torch}) EXPECT_EQ(set.size(), static_cast<std::size_t>(kDTypes));
}

TEST(DType, OtherNamesLeadNowhere) {
  EXPECT_FALSE(from_name("float32"));
  EXPECT_FALSE(from_name(""));
  EXPECT_FALSE(from_safetensors_name("f32"));
  EXPECT_FALSE(from_safetensors_name("F8_E4M3"));
  EXPECT_FALSE(from_torch_name("torch.float32"));
}

// Names carry the width: "int16", "F16", "BF16", "U8".
TEST(DType, SizesAreThoseThatTheNamesSay) {
  for (int i = 1; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::string name(safetensors_name(dtype));
    EXPECT_EQ(8 * size_of(dtype), std::stoul(name.substr(name.find_first_of("123456789")))) << name;
  }
  EXPECT_EQ(size_of(DType::boolean), 1u);
}

}  // namespace
}  // namespace pkv
