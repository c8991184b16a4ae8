// What is written into a model folder: weights in shards, config.json with what it says about quantisation.
#include "files/hf/write_folder.h"

#include "base/json.h"
#include "files/hf/hf.h"
#include "unit/files/support.h"

namespace pkv::hf {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class WriteFolder : public InFolder {};

containers::Planned bytes(const std::string& name, std::int64_t count, std::int64_t given) {
  const auto write = [given](const containers::Sink& sink) {
    sink(std::vector<std::byte>(static_cast<std::size_t>(given)));
  };
  return {.name = name, .dtype = DType::u8, .shape = {count}, .write = write};
}

TEST_F(WriteFolder, GroupsAreNotTornApart) {
  const std::vector<PlannedGroup> groups{{bytes("a", 30, 30), bytes("b", 30, 30)},
                                         {bytes("c", 30, 30)},
                                         {bytes("d", 200, 200)},
                                         {bytes("e", 0, 0)},
                                         {bytes("f", 50, 50)}};
  EXPECT_EQ(write_weights(folder_, groups, 100).size(), 3u);
  put(folder_ / "config.json", "{}");
  const Folder found = Folder::open(folder_);
  EXPECT_EQ(found.tensors().size(), 6u);
  EXPECT_EQ(found.notes().size(), 0u);
  const auto in = [&](const char* name) { return found.find(name)->file->path().filename().string(); };
  EXPECT_EQ(in("a"), "model-00001-of-00003.safetensors");
  EXPECT_EQ(in("b"), in("a"));
  EXPECT_EQ(in("c"), in("a"));
  EXPECT_EQ(in("d"), "model-00002-of-00003.safetensors");
  EXPECT_EQ(in("f"), "model-00003-of-00003.safetensors");
  const auto index = Config::open(folder_ / "model.safetensors.index.json");
  EXPECT_EQ(index.child("metadata").integer({"total_size"}, 0, 1000), 340);
}

TEST_F(WriteFolder, WhatFitsIsOneFile) {
  const std::vector<PlannedGroup> groups{{bytes("a", 30, 30)}, {bytes("b", 70, 70)}};
  EXPECT_EQ(write_weights(folder_, groups, 100), std::vector<std::string>{"model.safetensors"});
  EXPECT_FALSE(std::filesystem::exists(folder_ / "model.safetensors.index.json"));
  EXPECT_EQ(containers::SafeTensors::open(folder_ / "model.safetensors").metadata().at("format"), "pt");
}

TEST_F(WriteFolder, DataOfAnotherSizeIsOurFault) {
  for (const std::int64_t given : {29, 31}) {
    const std::vector<PlannedGroup> groups{{bytes("a", 30, given)}};
    EXPECT_THAT(error_of([&] { write_weights(folder_, groups, 100); }, Error::Kind::internal),
                AllOf(HasSubstr("'a'"), HasSubstr("expected: 30 bytes"), HasSubstr(std::to_string(given))));
    EXPECT_TRUE(std::filesystem::is_empty(folder_));
  }
}

TEST(ConfigText, KeepsWhatIsThere) {
  const auto source = Config::parse(
      R"({"eps": 1e-05, "big": 12345678901234567890, "torch_dtype": "float32", "name": "é", "deep": {"a": [null, 0.1]},
          "transformers_weights": "other.safetensors", "quantization_config": {"quant_method": "ancient"}})",
      "source");
  const std::string text = config_text(source, {.type = "nf4", .nested = true, .skip = {"a", "lm_head"}}, "bfloat16");
  EXPECT_THAT(text, AllOf(HasSubstr(R"("eps": 1e-05,)"), HasSubstr(R"("big": 12345678901234567890,)"),
                          HasSubstr(R"("torch_dtype": "bfloat16")"), HasSubstr(R"("name": "\u00e9")")));
  EXPECT_THAT(text, AllOf(testing::Not(HasSubstr("transformers_weights")), testing::Not(HasSubstr("ancient"))));
  const auto written = Config::parse(text, "written");
  EXPECT_EQ(*written.json().find("deep"), *source.json().find("deep"));
  EXPECT_FALSE(written.has("dtype"));  // one name of one thing is enough
  const Config& q = written.child("quantization_config");
  EXPECT_EQ(q.texts({"llm_int8_skip_modules"}), (std::vector<std::string>{"a", "lm_head"}));
  EXPECT_TRUE(q.flag({"load_in_4bit"}));
  EXPECT_TRUE(q.flag({"bnb_4bit_use_double_quant"}));
}

}  // namespace
}  // namespace pkv::hf
