#include "files/hf/folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "files/hf/index.h"
#include "unit/files/support.h"

namespace pkv::hf {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kShard1 = "model-00001-of-00002.safetensors";
constexpr std::string_view kShard2 = "model-00002-of-00002.safetensors";

// A file of one byte per tensor, of the given dtype of one byte.
std::string bytes_with(std::initializer_list<std::string_view> names, std::string_view dtype = "U8") {
  std::string header = "{", data;
  for (const std::string_view name : names) {
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[1],"data_offsets":[{},{}]}})", data.empty() ? "" : ",",
                          name, dtype, data.size(), data.size() + 1);
    data += static_cast<char>('A' + data.size());
  }
  return safetensors_bytes(header + "}", data);
}

std::string index_of(std::string_view map) {
  return fmt::format(R"({{"metadata": {{"total_size": 3}}, "weight_map": {{{}}}}})", map);
}

class FolderTest : public InFolder {
 protected:
  void SetUp() override {
    InFolder::SetUp();
    put(folder_ / "config.json", R"({"model_type": "gpt2"})");
  }

  void put_shards() {
    put(folder_ / kShard1, bytes_with({"b", "a"}));
    put(folder_ / kShard2, bytes_with({"c"}));
    put_index(fmt::format(R"("c": "{1}", "a": "{0}", "b": "{0}")", kShard1, kShard2));
  }
  void put_index(std::string_view map) { put(folder_ / "model.safetensors.index.json", index_of(map)); }

  std::string refused() {
    return error_of([&] { Folder::open(folder_); });
  }
};

std::vector<std::string> names_of(const Folder& folder) {
  std::vector<std::string> names;
  for (const containers::Tensor& t : folder.tensors()) names.push_back(t.name);
  return names;
}

TEST_F(FolderTest, OneFile) {
  put(folder_ / "model.safetensors", bytes_with({"b", "a"}));
  put(folder_ / "generation_config.json", R"({"eos_token_id": 3})");
  const Folder folder = Folder::open(folder_);
  EXPECT_EQ(folder.path(), folder_);
  EXPECT_EQ(folder.config().text({"model_type"}), "gpt2");
  EXPECT_EQ(folder.generation_config()->integer({"eos_token_id"}, 0, 9), 3);
  EXPECT_THAT(folder.files(), ElementsAre(folder_ / "model.safetensors"));
  EXPECT_THAT(names_of(folder), ElementsAre("a", "b"));
  EXPECT_EQ(folder.find("b")->data[0], std::byte{'A'});
  EXPECT_EQ(folder.find("wte"), nullptr);
  EXPECT_THAT(folder.notes(), IsEmpty());
}

TEST_F(FolderTest, Shards) {
  put_shards();
  const Folder folder = Folder::open(folder_);
  EXPECT_EQ(folder.generation_config(), nullptr);
  EXPECT_THAT(folder.files(), ElementsAre(folder_ / kShard1, folder_ / kShard2));
  EXPECT_THAT(names_of(folder), ElementsAre("a", "b", "c"));
  EXPECT_EQ(folder.find("a")->data[0], std::byte{'B'});
  EXPECT_EQ(folder.find("c")->file->path(), folder_ / kShard2);
  EXPECT_THAT(folder.notes(), IsEmpty());
}

TEST_F(FolderTest, OneFileIsPreferredToAnIndexAndThatIsSaid) {
  put_shards();
  put(folder_ / "model.safetensors", bytes_with({"z"}));
  const Folder folder = Folder::open(folder_);
  EXPECT_THAT(names_of(folder), ElementsAre("z"));
  EXPECT_THAT(folder.notes(), ElementsAre(HasSubstr("model.safetensors.index.json is not used"),
                                          AllOf(HasSubstr("other weights"), HasSubstr(kShard1), HasSubstr(kShard2))));
}

TEST_F(FolderTest, TheConfigMayNameTheWeights) {
  put_shards();
  put(folder_ / "model.safetensors", bytes_with({"z"}));
  put(folder_ / "config.json", fmt::format(R"({{"transformers_weights": "{}"}})", kShard2));
  EXPECT_THAT(names_of(Folder::open(folder_)), ElementsAre("c"));
  EXPECT_THAT(Folder::open(folder_).config().unread(), IsEmpty());
  put(folder_ / "config.json", R"({"transformers_weights": "model.safetensors.index.json"})");
  EXPECT_THAT(names_of(Folder::open(folder_)), ElementsAre("a", "b", "c"));
  put(folder_ / "config.json", R"({"transformers_weights": "../model.safetensors"})");
  EXPECT_THAT(refused(), AllOf(HasSubstr("transformers_weights"), HasSubstr("a plain file name")));
  put(folder_ / "config.json", R"({"transformers_weights": "adapter_model.bin"})");
  EXPECT_THAT(refused(), AllOf(HasSubstr("transformers_weights"), HasSubstr("ends in .safetensors")));
}

TEST_F(FolderTest, WhatIsNoModelFolder) {
  EXPECT_THAT(error_of([&] { Folder::open(folder_ / "gpt2"); }),
              AllOf(HasSubstr("gpt2: no such folder"), HasSubstr("hf download")));
  EXPECT_THAT(error_of([&] { Folder::open(folder_ / "config.json"); }),
              AllOf(HasSubstr("config.json: is a file, not a model folder"), HasSubstr("give the folder")));
  EXPECT_THAT(error_of([&] { Folder::open(folder_ / "config.json" / "x"); }), HasSubstr("config.json/x: "));
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_THAT(error_of([&] { Folder::open(folder_ / "loop"); }), HasSubstr("loop: cannot open: "));
  fs::remove(folder_ / "config.json");
  EXPECT_THAT(refused(), AllOf(HasSubstr("config.json is missing"), HasSubstr("save_pretrained")));
  fs::create_directory(folder_ / "snapshots");
  EXPECT_THAT(refused(), AllOf(HasSubstr("config.json is missing"), HasSubstr("Hub's cache")));
}

TEST_F(FolderTest, WithoutSafetensors) {
  put(folder_ / "training_args.bin", "x");
  EXPECT_THAT(refused(), AllOf(HasSubstr("has no weights that pkv reads"), HasSubstr("found:    neither"),
                               HasSubstr("download the model again")));
  put(folder_ / "model.fp16.safetensors", "x");
  put(folder_ / "a.gguf", "x");
  EXPECT_THAT(refused(), AllOf(HasSubstr("expected: model.safetensors or pytorch_model.bin, or an index of shards"),
                               HasSubstr("found:    a.gguf, model.fp16.safetensors"), HasSubstr("save_pretrained")));
}

TEST_F(FolderTest, AnAdapterIsNoModel) {
  put(folder_ / "model.safetensors", bytes_with({"a"}));
  put(folder_ / "adapter_config.json", "{}");
  EXPECT_THAT(refused(), AllOf(HasSubstr("adapter_config.json: is an adapter"), HasSubstr("merge")));
}

TEST_F(FolderTest, FilesThatSpeakOfTheWeightsAndAreNotReadAreNoted) {
  put(folder_ / "model.safetensors", bytes_with({"a"}));
  put(folder_ / "quantize_config.json", R"({"bits": 4})");
  put(folder_ / "adapter_model.safetensors", "x");
  EXPECT_THAT(Folder::open(folder_).notes(),
              ElementsAre(HasSubstr("adapter_model.safetensors holds an adapter's weights, which are not applied"),
                          HasSubstr("quantize_config.json holds settings of GPTQ, which are not read")));
}

TEST_F(FolderTest, WeightsInOtherFilesAreNoted) {
  put(folder_ / "model.safetensors", bytes_with({"a"}));
  put(folder_ / "pytorch_model.bin", "x");
  put(folder_ / "training_args.bin", "x");
  EXPECT_THAT(Folder::open(folder_).notes(),
              ElementsAre("other weights that the folder holds are not used: pytorch_model.bin"));
  put(folder_ / "model.fp16.safetensors", "x");
  put(folder_ / "tf_model.h5", "x");
  put(folder_ / "flax_model.msgpack", "x");
  EXPECT_THAT(Folder::open(folder_).notes(),
              ElementsAre("other weights that the folder holds are not used: flax_model.msgpack, "
                          "model.fp16.safetensors, pytorch_model.bin and 1 more files"));
}

TEST_F(FolderTest, CodeOfTheModelsOwnIsNoted) {
  put(folder_ / "model.safetensors", bytes_with({"a"}));
  put(folder_ / "config.json", R"({"model_type": "gpt2", "auto_map": {"AutoConfig": "x.C"}})");
  EXPECT_THAT(Folder::open(folder_).notes(), IsEmpty());
  put(folder_ / "config.json", R"({"model_type": "gpt2", "auto_map": {"AutoModelForCausalLM": "modeling_x.M"}})");
  EXPECT_THAT(Folder::open(folder_).notes(), ElementsAre(AllOf(HasSubstr("config.json: auto_map"),
                                                               HasSubstr("modeling_x.M"), HasSubstr("is not run"))));
}

TEST_F(FolderTest, BrokenConfigsNameTheirFile) {
  put(folder_ / "model.safetensors", bytes_with({"a"}));
  put(folder_ / "generation_config.json", "{");
  EXPECT_THAT(refused(), HasSubstr("generation_config.json: byte 1: is not valid JSON"));
  put(folder_ / "config.json", "[]");
  EXPECT_THAT(refused(), HasSubstr("config.json: has the wrong value"));
}

TEST_F(FolderTest, LinksWorkAsInTheHubsCache) {
  const fs::path snapshot = folder_ / "snapshots" / "0a";
  fs::create_directories(snapshot);
  fs::create_directories(folder_ / "blobs");
  put(folder_ / "blobs" / "1", "{}");
  put(folder_ / "blobs" / "2", bytes_with({"a"}));
  fs::create_symlink("../../blobs/1", snapshot / "config.json");
  fs::create_symlink("../../blobs/2", snapshot / "model.safetensors");
  EXPECT_THAT(names_of(Folder::open(snapshot)), ElementsAre("a"));

  fs::remove(folder_ / "blobs" / "2");
  EXPECT_THAT(error_of([&] { Folder::open(snapshot); }),
              AllOf(HasSubstr("model.safetensors: is a link to a file that is not there"),
                    HasSubstr("found:    ../../blobs/2")));
}

TEST_F(FolderTest, APipeInPlaceOfAFileDoesNotHang) {
  ASSERT_EQ(::mkfifo((folder_ / "model.safetensors").c_str(), 0600), 0);
  EXPECT_THAT(refused(), HasSubstr("model.safetensors: is not a regular file"));
}

// transformers takes what the shards hold: a tied output layer that no shard holds is not missed, say.
TEST_F(FolderTest, WhereTheIndexAndItsShardsDisagreeTheShardsHold) {
  put_shards();
  put_index(fmt::format(R"("a": "{0}", "b": "{0}", "c": "{1}", "d": "{1}")", kShard1, kShard2));
  EXPECT_THAT(names_of(Folder::open(folder_)), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Folder::open(folder_).notes(),
              ElementsAre("model.safetensors.index.json names tensors that no shard holds (1; the first is 'd')"));
  put_index(fmt::format(R"("a": "{1}", "b": "{0}", "c": "{1}")", kShard1, kShard2));
  EXPECT_THAT(names_of(Folder::open(folder_)), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Folder::open(folder_).notes(),
              ElementsAre("model.safetensors.index.json names the wrong shard for tensors (1; the first is 'a')"));
  put_index(R"("a": "model-00003-of-00002.safetensors")");
  EXPECT_THAT(refused(), HasSubstr("model-00003-of-00002.safetensors: shard is missing"));
  put_shards();
  put(folder_ / kShard2, bytes_with({"a", "c"}));
  EXPECT_THAT(refused(), AllOf(HasSubstr("tensor 'a': tensor is in two shards, with other values"), HasSubstr(kShard1),
                               HasSubstr(kShard2)));
  put(folder_ / kShard2, bytes_with({"c", "b"}));  // 'B' each: of a whole file's second and of this one's
  put(folder_ / kShard1, bytes_with({"a", "b"}));
  EXPECT_THAT(names_of(Folder::open(folder_)), ElementsAre("a", "b", "c")) << "the same in both";
}

TEST_F(FolderTest, KeysOfAnIndexThatNobodyKnowsAreNoted) {
  put_shards();
  put(folder_ / "model.safetensors.index.json",
      fmt::format(R"({{"metadata": {{"total_size": 3, "scale": 2}}, "layout": {{"metadata": [1]}},
                      "weight_map": {{"a": "{0}", "b": "{0}", "c": "{1}"}}}})",
                  kShard1, kShard2));
  EXPECT_THAT(Folder::open(folder_).notes(), ElementsAre("model.safetensors.index.json has keys that nobody here knows "
                                                         "(2; the first is 'layout')"));
}

// safetensors' save_model keeps one of several names of a tensor and writes down the others.
TEST_F(FolderTest, MetadataMayGiveATensorAnotherName) {
  const std::string entry = R"("b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  const auto with = [&](std::string_view metadata) {
    return safetensors_bytes(fmt::format(R"({{"__metadata__":{{{}}},{}}})", metadata, entry), "x");
  };
  put(folder_ / "model.safetensors", with(R"("format":"pt","a":"b")"));
  const Folder folder = Folder::open(folder_);
  EXPECT_EQ(folder.find("a"), folder.find("b"));
  EXPECT_NE(folder.find("a"), nullptr);
  EXPECT_EQ(folder.find("format"), nullptr);
  EXPECT_THAT(names_of(folder), ElementsAre("b"));
  EXPECT_THAT(folder.notes(), IsEmpty());
  put(folder_ / "model.safetensors", with(R"("format":"tf","a":"c","note":"x")"));
  EXPECT_EQ(Folder::open(folder_).find("a"), nullptr);
  EXPECT_THAT(Folder::open(folder_).notes(),
              ElementsAre("model.safetensors: metadata that is not used (3; the first is 'a': 'c')"));
}

TEST_F(FolderTest, TensorsThatTheIndexLeavesOutAreThereAndSaid) {
  put_shards();
  put_index(fmt::format(R"("b": "{0}", "c": "{1}")", kShard1, kShard2));
  const Folder folder = Folder::open(folder_);
  EXPECT_THAT(names_of(folder), ElementsAre("a", "b", "c"));
  EXPECT_THAT(folder.notes(), ElementsAre(AllOf(HasSubstr(kShard1), HasSubstr("(1; the first is 'a')"),
                                                HasSubstr("model.safetensors.index.json does not name"))));
}

TEST_F(FolderTest, UnreadableDtypesAreListedAndRefusedWhenAskedFor) {
  put_shards();
  put(folder_ / kShard2, bytes_with({"c"}, "F8_E4M3"));
  const Folder folder = Folder::open(folder_);
  EXPECT_THAT(names_of(folder), ElementsAre("a", "b"));
  ASSERT_EQ(folder.unreadable().size(), 1u);
  EXPECT_EQ(folder.unreadable()[0].name, "c");
  EXPECT_THAT(error_of([&] { folder.find("c"); }),
              AllOf(HasSubstr(kShard2), HasSubstr("tensor 'c': dtype is not supported"), HasSubstr("F8_E4M3")));

  put(folder_ / kShard1, bytes_with({"b", "a", "c"}));
  EXPECT_THAT(refused(), HasSubstr("tensor 'c': tensor is in two shards"));
}

std::string refused_index(std::string_view text) {
  return error_of([&] { parse_index(text, "i.json"); });
}

TEST(Index, ShardsAndEntriesAreSorted) {
  const Index index = parse_index(
      R"({"weight_map": {"b": "2.safetensors", "a": "1.safetensors"}, "metadata": {"x": [1, -1, 0.5, null, true, {}]}})",
      "i.json");
  EXPECT_THAT(index.shards, ElementsAre("1.safetensors", "2.safetensors"));
  ASSERT_EQ(index.entries.size(), 2u);
  EXPECT_EQ(index.find("b")->shard, 1u);
  EXPECT_EQ(index.find("c"), nullptr);
}

TEST(Index, AHostileNameReadsNothingOutsideTheFolder) {
  for (const std::string_view bad :
       {"../secret.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", ".", "", R"(a\\b.safetensors)",
        R"(a\u0000.safetensors)", R"(a\n.safetensors)", "pytorch_model-00001.bin"}) {
    SCOPED_TRACE(bad);
    EXPECT_THAT(refused_index(index_of(fmt::format(R"("w": "{}")", bad))),
                AllOf(HasSubstr("i.json: weight_map, tensor 'w': shard is not a file of this folder"),
                      HasSubstr("a plain file name")));
  }
}

TEST(Index, PlainFileNames) {
  for (const std::string_view bad : {"", ".", "..", "a/b", "/", "a\\b", "a\n", "\x7f"})
    EXPECT_FALSE(is_plain_file_name(bad));
  for (const std::string_view good : {"a", ".a", "a..b", "model-00001-of-00002.safetensors", "é"}) {
    EXPECT_TRUE(is_plain_file_name(good)) << good;
  }
}

TEST(Index, BrokenOnes) {
  EXPECT_THAT(refused_index("{}"), HasSubstr("i.json: weight_map is missing"));
  EXPECT_THAT(refused_index(R"({"weight_map": {}})"), HasSubstr("weight_map names no tensor"));
  EXPECT_THAT(refused_index(R"({"weight_map": []})"), AllOf(HasSubstr("is not an index"), HasSubstr("an array")));
  EXPECT_THAT(refused_index(R"({"weight_map": null})"), HasSubstr("found:    null"));
  EXPECT_THAT(refused_index(R"({"weight_map": "x"})"), HasSubstr("found:    the text 'x'"));
  EXPECT_THAT(refused_index("[]"), HasSubstr("is not an index"));
  EXPECT_THAT(refused_index("7"), HasSubstr("is not an index"));
  EXPECT_THAT(refused_index(""), HasSubstr("i.json: byte 0: is not valid JSON"));
  for (const std::string_view bad : {"1", "-1", "1.5", "null", "true", "{}", "[]"}) {
    EXPECT_THAT(refused_index(index_of(fmt::format(R"("w": {})", bad))),
                AllOf(HasSubstr("i.json: weight_map, tensor 'w': is not an index"), HasSubstr("the name of a shard")))
        << bad;
  }
  EXPECT_THAT(refused_index(index_of(R"("w": "a.safetensors", "w": "a.safetensors")")),
              HasSubstr("tensor 'w': tensor appears twice in weight_map"));
  EXPECT_THAT(refused_index(R"({"weight_map": {"w": "a.safetensors"}, "weight_map": {"w": "b.safetensors"}})"),
              HasSubstr("i.json: weight_map appears twice"));
  EXPECT_THAT(refused_index(R"({"metadata": )" + std::string(1'000'000, '[')), HasSubstr("nested too deep"));
}

}  // namespace
}  // namespace pkv::hf
