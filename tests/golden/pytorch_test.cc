// The same models saved by PyTorch both ways, as safetensors and as checkpoints (tools/make_pytorch_goldens.py): the
// same tensors and the same logits, bit for bit. That the safetensors give transformers' numbers, golden_test.cc shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/models.h"

namespace pkv {
namespace {

const std::filesystem::path kFolder = support::source() / "tests/golden/pytorch";

const nlohmann::json& provenance() {
  static const auto read = nlohmann::json::parse(std::ifstream(kFolder / "provenance.json"));
  return read.at("cases");
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& item : provenance().items()) all.push_back(item.key());
  return all;
}

class PyTorchGolden : public testing::TestWithParam<std::string> {
 protected:
  const std::filesystem::path bin_ = kFolder / GetParam();
  const std::filesystem::path safetensors_ =
      support::golden_data() / provenance().at(GetParam()).at("same_as").get<std::string>();
};

TEST_P(PyTorchGolden, EveryTensorHasTheSameBits) {
  const hf::Folder theirs = hf::Folder::open(bin_), ours = hf::Folder::open(safetensors_);
  EXPECT_EQ(theirs.files().size(), provenance().at(GetParam()).at("files").size());
  std::size_t equal = 0;
  for (const containers::Tensor& t : ours.tensors()) {
    if (t.name.ends_with(".attn.bias")) continue;  // masks: buffers that some cases leave out or replace
    const containers::Tensor* found = theirs.find(t.name);
    ASSERT_NE(found, nullptr) << t.name;
    EXPECT_EQ(found->dtype, t.dtype) << t.name;
    EXPECT_EQ(found->shape, t.shape) << t.name;
    ASSERT_EQ(found->data.size(), t.data.size()) << t.name;
    EXPECT_EQ(std::memcmp(found->data.data(), t.data.data(), t.data.size()), 0) << t.name;
    EXPECT_TRUE(found->aligned()) << t.name;
    ++equal;
  }
  EXPECT_GT(equal, 10u);
}

TEST_P(PyTorchGolden, LogitsHaveTheSameBits) {
  for (const kernels::Ops* ops : kernels::tables()) {
    const auto logits = [&](const std::filesystem::path& folder) {
      const model::Model model = support::load(folder, ops->name);
      model::Past past = model.new_past();
      return support::feed(model, past, support::random_ids(7, 12, model.card().vocab));
    };
    const std::vector<float> theirs = logits(bin_), ours = logits(safetensors_);
    ASSERT_EQ(theirs.size(), ours.size());
    EXPECT_EQ(std::memcmp(theirs.data(), ours.data(), ours.size() * sizeof(float)), 0) << ops->name;
  }
}

TEST_P(PyTorchGolden, NothingIsLeftUnused) {
  const model::Inspection found = model::inspect(hf::Folder::open(bin_));
  // Some of these models came with code of their own, of which a note says that it is not run.
  EXPECT_THAT(found.notes, testing::Each(testing::HasSubstr("auto_map")));
}

INSTANTIATE_TEST_SUITE_P(Saved, PyTorchGolden, testing::ValuesIn(names()),
                         [](const auto& test) { return support::test_name(test.param); });

}  // namespace
}  // namespace pkv
