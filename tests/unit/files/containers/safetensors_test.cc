#include "files/containers/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>

#include "engine/tensor/half.h"
#include "unit/files/support.h"

namespace pkv::containers {
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

TEST(SafeTensors, ADtypeThatCannotBeReadHindersNoOther) {
  const SafeTensors file = SafeTensors::open(kData / "f8.safetensors");
  EXPECT_THAT(values<float>(file.get("f32")), ElementsAre(1.0f));
  EXPECT_EQ(file.tensors().size(), 1u);
  ASSERT_EQ(file.unreadable().size(), 1u);
  EXPECT_EQ(file.unreadable()[0].name, "f8");
  EXPECT_EQ(file.unreadable()[0].dtype, "F8_E4M3");
  EXPECT_THAT(file.unreadable()[0].shape, ElementsAre(2));
  EXPECT_EQ(file.unreadable()[0].bytes, 2u);
  EXPECT_TRUE(file.has("f8"));
  EXPECT_THAT(error_of([&] { file.find("f8"); }),
              AllOf(HasSubstr("f8.safetensors: tensor 'f8': dtype is not supported by pkv"),
                    HasSubstr("found:    F8_E4M3"), HasSubstr("BF16")));
}

TEST(SafeTensors, AbsentTensors) {
  const SafeTensors file = SafeTensors::open(kData / "golden.safetensors");
  EXPECT_EQ(file.find("f3"), nullptr);
  EXPECT_EQ(file.find("zzz"), nullptr);
  EXPECT_FALSE(file.has("f3"));
  EXPECT_TRUE(file.has("f32"));
  EXPECT_THAT(error_of([&] { file.get("wte.weight"); }),
              HasSubstr("golden.safetensors: tensor 'wte.weight': tensor is missing"));
}

TEST(SafeTensors, TensorsOutliveTheFileThatGaveThem) {
  const Tensor kept = [] { return SafeTensors::open(kData / "golden.safetensors").get("f32"); }();
  EXPECT_EQ(values<float>(kept)[5], -0.5f);
}

TEST(Tensor, AnEmptyShapeThatOverflowsHasNoView) {
  const Tensor t{.name = "t", .dtype = DType::u8, .shape = {0, std::int64_t{1} << 62, 4}};
  EXPECT_THAT(error_of([&] { t.view(); }), HasSubstr("tensor 't': shape overflows"));
}

class SafeTensorsFile : public InFolder {
 protected:
  std::string refused(std::string_view bytes) {
    put(path_, bytes);
    return error_of([&] { SafeTensors::open(path_); });
  }
  std::filesystem::path path_ = folder_ / "m.safetensors";
};

TEST_F(SafeTensorsFile, TheLengthIsCheckedBeforeItIsUsed) {
  EXPECT_THAT(refused(""), AllOf(HasSubstr("m.safetensors: is too short"), HasSubstr("found:    0 bytes")));
  EXPECT_THAT(refused("1234567"), AllOf(HasSubstr("at least 8 bytes"), HasSubstr("found:    7 bytes")));
  EXPECT_THAT(refused(length_bytes(0)), HasSubstr("an empty header"));
  EXPECT_THAT(refused(length_bytes(std::uint64_t{1} << 63) + "{}"),
              AllOf(HasSubstr("header is too large"), HasSubstr("found:    9223372036854775808 bytes")));
  EXPECT_THAT(refused(length_bytes(~std::uint64_t{0}) + "{}"), HasSubstr("header is too large"));
  EXPECT_THAT(refused(length_bytes(~std::uint64_t{0} - 7) + "{}"), HasSubstr("header is too large"));
  EXPECT_THAT(refused(length_bytes(3) + "{}"), AllOf(HasSubstr("file ends within its header"),
                                                     HasSubstr("a header of 3 bytes"), HasSubstr("found:    2 bytes")));
}

TEST_F(SafeTensorsFile, TheHeaderIsAtMostAHundredMillionBytes) {
  {
    std::ofstream file(path_);
    file << length_bytes(100'000'001) << "{}" << std::string(100'000'001 - 2, ' ');
  }
  EXPECT_THAT(error_of([&] { SafeTensors::open(path_); }),
              AllOf(HasSubstr("header is too large"), HasSubstr("at most 100000000"), HasSubstr("100000001 bytes")));
  {
    std::ofstream file(path_);
    file << length_bytes(100'000'000) << "{}" << std::string(100'000'000 - 2, ' ');
  }
  EXPECT_TRUE(SafeTensors::open(path_).tensors().empty());
}

TEST_F(SafeTensorsFile, AGitLfsPointerIsCalledThat) {
  EXPECT_THAT(refused("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"),
              AllOf(HasSubstr("is a Git LFS pointer"), HasSubstr("git lfs pull")));
}

TEST_F(SafeTensorsFile, TruncatedAnywhereIsAnError) {
  const std::string whole = read_file(kData / "golden.safetensors", 1 << 20);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(refused(std::string_view(whole).substr(0, size)), HasSubstr("m.safetensors")) << size;
  }
  EXPECT_THAT(refused(whole + "x"), HasSubstr("do not cover the file"));
}

TEST_F(SafeTensorsFile, EveryFlippedBitOfTheLengthIsAnError) {
  const std::string whole = read_file(kData / "golden.safetensors", 1 << 20);
  for (std::size_t bit = 0; bit < 64; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    EXPECT_THAT(refused(flipped), HasSubstr("m.safetensors")) << bit;
  }
}

std::ptrdiff_t pages_in_memory(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(bytes.data()) / page * page;
  const std::uintptr_t length = reinterpret_cast<std::uintptr_t>(bytes.data()) + bytes.size() - first;
  std::vector<unsigned char> in_memory((length + page - 1) / page);
  EXPECT_EQ(::mincore(reinterpret_cast<void*>(first), length, in_memory.data()), 0);
  return std::ranges::count_if(in_memory, [](unsigned char flags) { return (flags & 1) != 0; });
}

TEST_F(SafeTensorsFile, EightGigabytesAreOpenedWithoutBeingRead) {
  constexpr std::uint64_t kData8 = std::uint64_t{8} << 30;
  const std::string header =
      fmt::format(R"({{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}})", kData8 / 4, kData8);
  put(path_, safetensors_bytes(header));
  ASSERT_EQ(::truncate(path_.c_str(), static_cast<off_t>(8 + header.size() + kData8)), 0);

  const SafeTensors file = SafeTensors::open(path_);
  EXPECT_EQ(file.get("w").data.size(), kData8);
  // Pages that were read are in the system's cache, whoever else uses memory: the header's, and what is read ahead of
  // it. 8 GiB are 2 million.
  EXPECT_LT(pages_in_memory(file.get("w").data), 1000);
  EXPECT_EQ(file.get("w").view().as<float>()[kData8 / 4 - 1], 0.0f);  // and its end can be read
}

class Written : public InFolder {
 protected:
  Tensor tensor(std::string name, DType dtype, std::vector<std::int64_t> shape, std::size_t bytes) {
    return {
        .name = std::move(name), .dtype = dtype, .shape = std::move(shape), .data = std::span(memory_).first(bytes)};
  }
  std::string refused(std::vector<Tensor> tensors, std::map<std::string, std::string> metadata = {}) {
    return error_of([&] { write_safetensors(path_, tensors, metadata); }, Error::Kind::usage);
  }
  std::filesystem::path path_ = folder_ / "m.safetensors";
  std::vector<std::byte> memory_ = std::vector<std::byte>(64);
};

TEST_F(Written, SameBytesAsTheReference) {
  const SafeTensors file = SafeTensors::open(kData / "golden.safetensors");
  std::vector<Tensor> shuffled(file.tensors().rbegin(), file.tensors().rend());
  write_safetensors(path_, shuffled, file.metadata());
  EXPECT_EQ(read_file(path_, 1 << 20), read_file(kData / "golden.safetensors", 1 << 20));
}

TEST_F(Written, NothingAtAll) {
  write_safetensors(path_, {}, {});
  EXPECT_EQ(read_file(path_, 100), safetensors_bytes("{}      "));
}

TEST_F(Written, OddNamesComeBack) {
  std::map<std::string, std::string> metadata{{"\"\\\n\t\x01\x7f", "é中😀"}, {"", ""}};
  std::vector<Tensor> tensors{tensor("\"quote\\", DType::u8, {3}, 3), tensor("", DType::f32, {}, 4),
                              tensor("a\nb", DType::bf16, {0, 2}, 0), tensor("中", DType::u8, {1}, 1)};
  write_safetensors(path_, tensors, metadata);
  const SafeTensors file = SafeTensors::open(path_);
  EXPECT_EQ(file.metadata(), metadata);
  for (const Tensor& t : tensors) {
    EXPECT_EQ(file.get(t.name).shape, t.shape);
    EXPECT_EQ(file.get(t.name).dtype, t.dtype);
  }
  EXPECT_EQ((file.tensors()[0].data.data() - file.tensors()[0].file->bytes().data()) % 8, 0);
}

TEST_F(Written, WhatWouldBeNoValidFileIsRefused) {
  EXPECT_THAT(refused({tensor("a", DType::f32, {2}, 4)}),
              AllOf(HasSubstr("m.safetensors: tensor 'a': data does not match"), HasSubstr("expected: 8 bytes"),
                    HasSubstr("4 bytes for F32 [2]")));
  EXPECT_THAT(
      refused({tensor("a", DType::u8, {1}, 1), tensor("b", DType::u8, {1}, 1), tensor("a", DType::f32, {1}, 4)}),
      HasSubstr("tensor 'a': name is given twice"));
  EXPECT_THAT(refused({tensor("__metadata__", DType::u8, {1}, 1)}), HasSubstr("cannot have this name"));
  EXPECT_THAT(refused({tensor("a", DType::u8, {-1}, 0)}), HasSubstr("a negative dimension"));
  EXPECT_THAT(refused({tensor("a", DType::u8, std::vector<std::int64_t>(17, 1), 1)}), HasSubstr("rank is too high"));
  EXPECT_THAT(refused({tensor("a", DType::u8, {std::int64_t{1} << 62, 8}, 0)}), HasSubstr("does not overflow"));
  EXPECT_THAT(refused({tensor("\xff", DType::u8, {1}, 1)}), HasSubstr("not UTF-8"));
  EXPECT_THAT(refused({}, {{"k", "\xff"}}), HasSubstr("not UTF-8"));
  EXPECT_THAT(refused({}, {{"k", std::string(100'000'000, 'x')}}), HasSubstr("header is too large"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace pkv::containers
