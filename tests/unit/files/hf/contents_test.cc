// What is in a folder or file, whether or not anything can run it: what can be read is there, what cannot is said.
#include "files/hf/contents.h"

#include <fmt/format.h>

#include "unit/files/archives.h"
#include "unit/files/support.h"

namespace pkv::hf {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

constexpr std::string_view kOne = R"({"__metadata__":{"a":"b"},"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";

class LookTest : public InFolder {
 protected:
  void put_weights(const std::string& name) { put(folder_ / name, safetensors_bytes(std::string(kOne), "xy")); }
};

TEST_F(LookTest, AFolderThatIsNoModel) {
  Contents seen = contents_of(folder_);
  EXPECT_TRUE(seen.folder);
  EXPECT_EQ(seen.config, nullptr);
  EXPECT_THAT(seen.tensors, IsEmpty());
  EXPECT_THAT(seen.faults, IsEmpty());

  put(folder_ / "config.json", R"({"model_type": "nobody's"})");
  put_weights("model.fp16.safetensors");
  put(folder_ / "broken.safetensors", "x");
  put(folder_ / "pytorch_model.bin", "x");
  seen = contents_of(folder_);
  ASSERT_NE(seen.config, nullptr);
  ASSERT_EQ(seen.tensors.size(), 1u);
  EXPECT_EQ(seen.tensors[0].name, "w");
  EXPECT_EQ(seen.parameters(), 2);
  EXPECT_EQ(seen.bytes(), 2u);
  EXPECT_THAT(seen.files, ElementsAre(folder_ / "model.fp16.safetensors"));
  ASSERT_EQ(seen.faults.size(), 1u) << "PyTorch's files are looked into where there are no others";
  EXPECT_THAT(seen.faults[0].what(), HasSubstr("broken.safetensors: is too short"));

  put(folder_ / "config.json", "{");
  seen = contents_of(folder_);
  EXPECT_EQ(seen.config, nullptr);
  EXPECT_THAT(seen.faults[0].what(), HasSubstr("config.json: byte 1: is not valid JSON"));
}

TEST_F(LookTest, FilesByThemselves) {
  put_weights("any name");
  Contents seen = contents_of(folder_ / "any name");
  EXPECT_FALSE(seen.folder);
  EXPECT_EQ(seen.kind, "safetensors");
  EXPECT_EQ(seen.tensors.size(), 1u);
  EXPECT_THAT(seen.said, ElementsAre(Pair("'a'", "'b'")));

  put(folder_ / "config.json", R"({"model_type": "x"})");
  seen = contents_of(folder_ / "config.json");
  EXPECT_EQ(seen.kind, "JSON");
  EXPECT_EQ(seen.config->text({"model_type"}), "x");

  put(folder_ / "model.safetensors.index.json", R"({"weight_map": {"w": "any.safetensors", "v": "b.safetensors"}})");
  put_weights("any.safetensors");
  seen = contents_of(folder_ / "model.safetensors.index.json");
  EXPECT_EQ(seen.kind, "an index of shards");
  EXPECT_THAT(seen.said, ElementsAre(Pair("tensors", "2"), Pair("shard", "any.safetensors"),
                                     Pair("shard", "b.safetensors, which is missing")));

  put(folder_ / "m.gguf", "GGUF" + little(3, 4) + little(5, 8) + little(7, 8));
  seen = contents_of(folder_ / "m.gguf");
  EXPECT_THAT(seen.said, ElementsAre(Pair("version", "3"), Pair("tensors", "5"), Pair("keys", "7")));
  EXPECT_EQ(seen.kind, "GGUF");
  put(folder_ / "m.gguf", "GGUF");
  EXPECT_THAT(contents_of(folder_ / "m.gguf").said, IsEmpty());
}

TEST_F(LookTest, WhatCannotBeReadIsAFault) {
  for (const std::string_view bytes : {"", "text", "PK\3\4", "\x80\x02", "{", "[]", "{}}"}) {
    put(folder_ / "any", bytes);
    const Contents seen = contents_of(folder_ / "any");
    EXPECT_EQ(seen.faults.size(), 1u) << bytes;
    EXPECT_THAT(seen.tensors, IsEmpty()) << bytes;
  }
  EXPECT_THAT(error_of([&] { contents_of(folder_ / "nothing"); }), HasSubstr("nothing: no such file or folder"));
}

}  // namespace
}  // namespace pkv::hf
