#include "hf/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "support.h"
#include "tensor/half.h"

namespace pkv::hf {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
std::vector<T> values(const Tensor& t) {
  std::vector<T> all(t.data.size() / sizeof(T));
  std::memcpy(all.data(), t.data.data(), t.data.size());
  return all;
}

TEST(SafeTensors, ReadsWhatTheReferenceWrote) {
  const SafeTensors file = SafeTensors::open(kData / "golden.safetensors");
  EXPECT_EQ(file.tensors().size(), 16u);
  EXPECT_THAT(file.metadata(), ElementsAre(std::pair("format", "pt")));

  const Tensor& f32 = file.get("f32");
  EXPECT_EQ(f32.dtype, DType::f32);
  EXPECT_THAT(f32.shape, ElementsAre(2, 3));
  EXPECT_THAT(values<float>(f32), ElementsAre(1.5f, -2.0f, 0.25f, 3.0f, 4.0f, -0.5f));
  EXPECT_EQ(f32.view().as<float>()[4], 4.0f);
  EXPECT_TRUE(f32.aligned());

  const auto half = values<f16>(file.get("f16"));
  EXPECT_EQ(file.get("f16").dtype, DType::f16);
  EXPECT_EQ(to_float(half[1]), -0.5f);
  EXPECT_EQ(to_float(half[2]), 65504.0f);
  const auto brain = values<bf16>(file.get("bf16"));
  EXPECT_EQ(file.get("bf16").dtype, DType::bf16);
  EXPECT_EQ(to_float(brain[1]), -2.5f);
  EXPECT_THAT(values<double>(file.get("f64")), ElementsAre(0.1));
  EXPECT_THAT(values<std::int64_t>(file.get("i64")), ElementsAre(-1, std::int64_t{1} << 40));
  EXPECT_THAT(values<std::uint8_t>(file.get("bool")), ElementsAre(1, 0));
  EXPECT_THAT(values<std::int32_t>(file.get("name \"\\ é中\n\x01\x7f")), ElementsAre(9));
}

TEST(SafeTensors, RankZeroEmptyAndRankFive) {
  const SafeTensors file = SafeTensors::open(kData / "golden.safetensors");
  EXPECT_TRUE(file.get("rank0").shape.empty());
  EXPECT_THAT(values<float>(file.get("rank0")), ElementsAre(7.5f));
  EXPECT_EQ(file.get("rank0").view().elements(), 1);
  EXPECT_THAT(file.get("empty").shape, ElementsAre(0, 3));
  EXPECT_TRUE(file.get("empty").data.empty());
  EXPECT_EQ(file.get("empty").view().elements(), 0);
  EXPECT_THAT(file.get("rank5").shape, ElementsAre(1, 2, 1, 1, 1));
  EXPECT_THAT(error_of([&] { file.get("rank5").view(); }),
              AllOf(HasSubstr("golden.safetensors: tensor 'rank5': rank is too high"), HasSubstr("at most 4"),
                    HasSubstr("[1, 2, 1, 1, 1]")));
}

TEST(SafeTensors, UnalignedDataIsReadAndSaysSo) {
  const SafeTensors file = SafeTensors::open(kData / "unaligned.safetensors");
  EXPECT_THAT(values<float>(file.get("f32")), ElementsAre(1.25f, -3.0f));
  EXPECT_FALSE(file.get("f32").aligned());
  EXPECT_TRUE(file.get("u8").aligned());
}

}  // namespace
}  // namespace pkv::hf
