#include "files/containers/pytorch.h"

#include <cstring>

#include "files/hf/folder.h"
#include "unit/files/archives.h"
#include "unit/files/support.h"

namespace pkv::hf {
namespace {

namespace fs = std::filesystem;
using containers::PyTorchTensors;
using containers::read_pytorch;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string floats(std::initializer_list<float> values) {
  std::string bytes;
  for (const float v : values) bytes.append(reinterpret_cast<const char*>(&v), sizeof v);
  return bytes;
}

// A checkpoint of one tensor 'w' [2, 3] with the values 1 to 6; its parts can be left out or replaced.
struct Checkpoint {
  std::string pickle = pickle_of(state_ops("w", TensorOps().ops()));
  std::string storage = floats({1, 2, 3, 4, 5, 6}), version = "3\n", order = "little", root = "archive/";

  ZipMaker zip() const {
    ZipMaker zip;
    zip.add(root + "data.pkl", pickle);
    if (!order.empty()) zip.add(root + "byteorder", order);
    zip.add(root + "data/0", storage);
    if (!version.empty()) zip.add(root + "version", version);
    return zip;
  }
  std::string bytes() const { return zip().bytes(); }
};

std::string refused(const std::string& bytes) {
  return error_of([&] { read_pytorch(as_bytes(bytes), "f.bin"); });
}

std::vector<float> values_of(const containers::Tensor& t) {
  std::vector<float> values(t.data.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), t.data.data(), t.data.size());
  return values;
}

TEST(PyTorch, ATensorLiesInTheFile) {
  const std::string bytes = Checkpoint().bytes();
  const PyTorchTensors read = read_pytorch(as_bytes(bytes), "f.bin");
  ASSERT_EQ(read.tensors.size(), 1u);
  EXPECT_EQ(read.tensors[0].name, "w");
  EXPECT_EQ(read.tensors[0].dtype, DType::f32);
  EXPECT_THAT(read.tensors[0].shape, ElementsAre(2, 3));
  EXPECT_THAT(values_of(read.tensors[0]), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_GE(reinterpret_cast<const char*>(read.tensors[0].data.data()), bytes.data());
  EXPECT_LT(reinterpret_cast<const char*>(read.tensors[0].data.data()), bytes.data() + bytes.size());
  EXPECT_THAT(read.copies, IsEmpty());
  EXPECT_THAT(read.notes, IsEmpty());
}

TEST(PyTorch, EntriesOfTheArchiveThatNoTensorUsesAreNoted) {
  ZipMaker zip = Checkpoint().zip();
  zip.add("archive/.data/serialization_id", "1");
  EXPECT_THAT(read_pytorch(as_bytes(zip.bytes()), "f.bin").notes, IsEmpty());
  zip.add("archive/data/7", "x");
  zip.add("archive/scales.json", "{}");
  EXPECT_THAT(read_pytorch(as_bytes(zip.bytes()), "f.bin").notes,
              ElementsAre("f.bin holds entries of the archive that no tensor uses (2; the first is 'archive/data/7')"));
}

TEST(PyTorch, ViewsAreRebuilt) {
  const auto read = [](const TensorOps& tensor) {
    const std::string bytes = Checkpoint{.pickle = pickle_of(state_ops("w", tensor.ops()))}.bytes();
    const PyTorchTensors got = read_pytorch(as_bytes(bytes), "f.bin");
    EXPECT_LE(got.copies.size(), 1u);
    return values_of(got.tensors.at(0));
  };
  EXPECT_THAT(read({.offset = 2, .shape = {2, 2}, .stride = {2, 1}}), ElementsAre(3, 4, 5, 6));
  EXPECT_THAT(read({.shape = {3, 2}, .stride = {1, 3}}), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_THAT(read({.offset = 1, .shape = {2, 2}, .stride = {3, 1}}), ElementsAre(2, 3, 5, 6));
  EXPECT_THAT(read({.shape = {1, 6}, .stride = {77, 1}}), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(read({.offset = 4, .shape = {2, 2}, .stride = {0, 1}}), ElementsAre(5, 6, 5, 6));
  EXPECT_THAT(read({.offset = 5, .shape = {}, .stride = {}}), ElementsAre(6));
  EXPECT_THAT(read({.offset = 6, .shape = {0, 2}, .stride = {2, 1}}), IsEmpty());
  EXPECT_THAT(read({.shape = {2, 1, 3}, .stride = {1, 9, 2}}), ElementsAre(1, 3, 5, 2, 4, 6));
  EXPECT_THAT(read({.shape = {2, 1, 2}, .stride = {1, INT64_MAX, 2}}), ElementsAre(1, 3, 2, 4));
}

TEST(PyTorch, CopiesAreBounded) {
  const TensorOps wide{.shape = {1u << 20, 1u << 10}, .stride = {0, 0}};
  EXPECT_THAT(refused(Checkpoint{.pickle = pickle_of(state_ops("w", wide.ops()))}.bytes()),
              AllOf(HasSubstr("f.bin: tensor 'w'"), HasSubstr("more memory than the file"), HasSubstr("contiguous()")));
}

TEST(PyTorch, TensorsThatShareAStorage) {
  const std::string ops = "}(" + text_op("a") + TensorOps().ops() + text_op("b") +
                          TensorOps{.offset = 3, .shape = {3}, .stride = {1}}.ops() + "u";
  const std::string bytes = Checkpoint{.pickle = pickle_of(ops)}.bytes();
  const PyTorchTensors read = read_pytorch(as_bytes(bytes), "f.bin");
  ASSERT_EQ(read.tensors.size(), 2u);
  EXPECT_EQ(read.tensors[1].data.data(), read.tensors[0].data.data() + 12);
}

TEST(PyTorch, DtypesThatPkvCannotReadAreListed) {
  const TensorOps complex{
      .storage_class = global_op("torch", "ComplexFloatStorage"), .elements = 3, .shape = {3}, .stride = {1}};
  const std::string ops =
      "}(" + text_op("w") + TensorOps().ops() + text_op("c") + complex.ops() + text_op("step") + "K\1u";
  const std::string bytes = Checkpoint{.pickle = pickle_of(ops)}.bytes();
  const PyTorchTensors read = read_pytorch(as_bytes(bytes), "f.bin");
  EXPECT_EQ(read.tensors.size(), 1u);
  ASSERT_EQ(read.unreadable.size(), 1u);
  EXPECT_EQ(read.unreadable[0].name, "c");
  EXPECT_EQ(read.unreadable[0].dtype, "C64");
  EXPECT_EQ(read.unreadable[0].bytes, 24u);
  ASSERT_EQ(read.others.size(), 1u);
  EXPECT_EQ(read.others[0].describe(), "'step', an integer: '1'");
}

TEST(PyTorch, FilesOfOtherKinds) {
  EXPECT_THAT(refused("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."),
              AllOf(HasSubstr("f.bin: is a PyTorch file of the old kind"), HasSubstr("save_pretrained")));
  for (const std::string few : {"\x80", "\x80\x02", "\x80\x02\x8a"}) {
    EXPECT_THAT(refused(few), HasSubstr("is not a zip archive"));
  }
  std::string tar(512, 'x');
  tar.replace(257, 5, "ustar");
  EXPECT_THAT(refused(tar), AllOf(HasSubstr("of the old kind"), HasSubstr("an archive of tar")));
  EXPECT_THAT(refused("\x80\x02}."), HasSubstr("is not a zip archive"));
  ZipMaker other;
  other.add("word/document.xml", "x");
  EXPECT_THAT(refused(other.bytes()), AllOf(HasSubstr("not one of PyTorch's"), HasSubstr("'word/document.xml'")));
  EXPECT_THAT(refused(ZipMaker().bytes()), HasSubstr("zip"));
  ZipMaker script = Checkpoint().zip();
  script.add("archive/constants.pkl", "x");
  EXPECT_THAT(refused(script.bytes()), HasSubstr("TorchScript program"));
  ZipMaker two = Checkpoint().zip();
  two.add("other/data.pkl", "x");
  EXPECT_THAT(refused(two.bytes()), HasSubstr("more than one data.pkl"));
}

TEST(PyTorch, VersionAndByteOrder) {
  for (const std::string version : {"1", "3\n", "10", "9\n"}) {
    EXPECT_EQ(refused(Checkpoint{.version = version}.bytes()), "no error") << version;
  }
  for (const std::string version : {"0", "11", "3\n\n", "x", "\n"}) {
    EXPECT_THAT(refused(Checkpoint{.version = version}.bytes()), HasSubstr("version of the format")) << version;
  }
  EXPECT_THAT(refused(Checkpoint{.version = ""}.bytes()), HasSubstr("has no version"));
  EXPECT_EQ(refused(Checkpoint{.order = ""}.bytes()), "no error");
  EXPECT_THAT(refused(Checkpoint{.order = "big"}.bytes()),
              AllOf(HasSubstr("f.bin: data is not little-endian"), HasSubstr("found:    'big'")));
  EXPECT_EQ(refused(Checkpoint{.root = "pytorch_model/"}.bytes()), "no error");
}

TEST(PyTorch, StoragesThatAreNotWhatThePickleSays) {
  EXPECT_THAT(refused(Checkpoint{.pickle = pickle_of(state_ops("w", TensorOps{.key = "1"}.ops()))}.bytes()),
              AllOf(HasSubstr("tensor 'w': storage is missing"), HasSubstr("f.bin: archive/data/1")));
  EXPECT_THAT(refused(Checkpoint{.storage = floats({1, 2, 3})}.bytes()),
              AllOf(HasSubstr("another size"), HasSubstr("expected: 24 bytes"), HasSubstr("found:    12 bytes")));
  EXPECT_THAT(refused(Checkpoint{.pickle = pickle_of(global_op("os", "system"))}.bytes()),
              AllOf(HasSubstr("f.bin: archive/data.pkl: byte 2"), HasSubstr("'os.system'")));
}

TEST(PyTorch, TruncatedAndChangedAtEveryByte) {
  const std::string whole = Checkpoint().bytes();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_NE(refused(whole.substr(0, i)), "no error") << i;
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x41);
    refused(changed);
  }
}

class PyTorchFolder : public InFolder {
 protected:
  void SetUp() override {
    InFolder::SetUp();
    put(folder_ / "config.json", R"({"model_type": "gpt2"})");
  }
  static std::string with(const std::string& name) {
    return Checkpoint{.pickle = pickle_of(state_ops(name, TensorOps().ops()))}.bytes();
  }
  std::vector<std::string> names() const {
    const Folder folder = Folder::open(folder_);
    std::vector<std::string> names;
    for (const containers::Tensor& t : folder.tensors()) names.push_back(t.name);
    return names;
  }
};

TEST_F(PyTorchFolder, IsUsedWhereThereAreNoSafetensors) {
  put(folder_ / "pytorch_model.bin", with("bin"));
  EXPECT_THAT(names(), ElementsAre("bin"));
  EXPECT_EQ(Folder::open(folder_).files()[0].filename(), "pytorch_model.bin");
  put(folder_ / "model.safetensors",
      safetensors_bytes(R"({"st":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"));
  EXPECT_THAT(names(), ElementsAre("st"));
}

TEST_F(PyTorchFolder, Shards) {
  put(folder_ / "pytorch_model-00001-of-00002.bin", with("b"));
  put(folder_ / "pytorch_model-00002-of-00002.bin", with("a"));
  put(folder_ / "pytorch_model.bin.index.json",
      R"({"weight_map": {"a": "pytorch_model-00002-of-00002.bin", "b": "pytorch_model-00001-of-00002.bin"}})");
  EXPECT_THAT(names(), ElementsAre("a", "b"));
  put(folder_ / "pytorch_model.bin", with("bin"));
  EXPECT_THAT(names(), ElementsAre("bin"));
  EXPECT_THAT(Folder::open(folder_).notes(),
              ElementsAre(HasSubstr("pytorch_model.bin.index.json is not used"), HasSubstr("other weights")));
  fs::remove(folder_ / "pytorch_model.bin");
  put(folder_ / "pytorch_model.bin.index.json", R"({"weight_map": {"a": "model.safetensors"}})");
  EXPECT_THAT(error_of([&] { Folder::open(folder_); }), HasSubstr("a plain file name that ends in .bin"));
}

TEST_F(PyTorchFolder, EntriesThatAreNoTensorsAreForOthersToKnow) {
  const std::string ops = "}(" + text_op("w") + TensorOps().ops() + text_op("w_format") + text_op("tiled") + "u";
  put(folder_ / "pytorch_model.bin", Checkpoint{.pickle = pickle_of(ops)}.bytes());
  const Folder folder = Folder::open(folder_);
  EXPECT_THAT(folder.notes(), IsEmpty());
  ASSERT_EQ(folder.others().size(), 1u);
  EXPECT_EQ(folder.others()[0].name, "w_format");
  EXPECT_EQ(folder.others()[0].value, "tiled");
}

TEST_F(PyTorchFolder, CopiesLiveAsLongAsATensor) {
  const TensorOps turned{.shape = {3, 2}, .stride = {1, 3}};
  put(folder_ / "pytorch_model.bin", Checkpoint{.pickle = pickle_of(state_ops("w", turned.ops()))}.bytes());
  containers::Tensor kept;
  {
    const Folder folder = Folder::open(folder_);
    kept = *folder.find("w");
  }
  kept.file->done_with(kept.data);  // a hint about the file must not lose what is not in it
  EXPECT_THAT(values_of(kept), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_EQ(kept.file->path(), folder_ / "pytorch_model.bin");
}

TEST_F(PyTorchFolder, APointerOfGitLfs) {
  put(folder_ / "pytorch_model.bin", "version https://git-lfs.github.com/spec/v1\n");
  EXPECT_THAT(error_of([&] { Folder::open(folder_); }), HasSubstr("pytorch_model.bin: is a Git LFS pointer"));
}

}  // namespace
}  // namespace pkv::hf
