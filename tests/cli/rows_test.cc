// Every command on a model of every row: that it runs, and that what it says of the past holds.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "commands/commands.h"
#include "engine/model/arch/decoder.h"
#include "options/option_set.h"
#include "support/models.h"
#include "support/places.h"
#include "support/shell.h"

namespace pkv::program {
namespace {

namespace fs = std::filesystem;

struct Said {
  int code = 0;
  std::string out, err;
};

Said pkv(std::vector<std::string> words) {
  words.insert(words.begin(), "pkv");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Said said;
  std::string thrown;
  try {
    said.code = run_chosen(pkv_command(), "pkv", static_cast<int>(pointers.size()), pointers.data());
  } catch (const std::exception& e) {
    said.code = -1;
    thrown = e.what();
  }
  said.out = testing::internal::GetCapturedStdout();
  said.err = testing::internal::GetCapturedStderr() + thrown;
  return said;
}

// A folder with the model's files and a tokenizer of single letters, of which no golden has one.
void with_tokenizer(const fs::path& model, const support::TemporaryFolder& folder) {
  for (const auto& file : fs::directory_iterator(model)) {
    if (file.path().filename() != "expected.safetensors") {
      fs::create_symlink(fs::canonical(file.path()), folder.path() / file.path().filename());
    }
  }
  std::string words;
  for (int id = 0; id < 26; ++id) words += fmt::format("{}\"{}\": {}", id == 0 ? "" : ", ", char('a' + id), id);
  folder.write("tokenizer.json", R"({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
    "post_processor": null, "decoder": null, "model": {"type": "BPE", "vocab": {)" +
                                     words + R"(}, "merges": []}})");
}

TEST(Rows, RunEveryCommand) {
  std::map<std::string, fs::path> models;  // by model_type
  for (const fs::path& folder : support::model_folders(support::golden_data())) {
    models.emplace(support::model_type(folder), folder);
  }
  for (const model::arch::Row& row : model::arch::rows()) {
    const std::string type(row.model_type);
    SCOPED_TRACE(type);
    ASSERT_TRUE(models.contains(type)) << "no golden of this row";
    const support::TemporaryFolder folder;
    with_tokenizer(models[type], folder);
    const std::string model = folder.path().string(), past = model + "/past.safetensors", few = model + "/int8";
    const auto succeeds = [](const std::vector<std::string>& words) {
      const Said said = pkv(words);
      EXPECT_EQ(said.code, 0) << fmt::format("pkv {}\n", fmt::join(words, " ")) << said.out << said.err;
      return said.out;
    };
    EXPECT_THAT(succeeds({"check", model, "--text", "abcdefghijkl"}), testing::HasSubstr("identical"));
    EXPECT_THAT(succeeds({"inspect", model}), testing::HasSubstr(std::string(row.family)));
    succeeds({"bench", model, "--new-tokens", "2", "--prompt-tokens", "3", "--prefix-tokens", "2", "--repetitions", "1",
              "--warmup", "0"});
    succeeds({"perplexity", model, "--text", "abcdefghijklmnop", "--context", "8", "--stride", "4"});
    const auto written = [&](const std::vector<std::string>& more) {
      std::vector<std::string> words{"generate", model, "--new-tokens", "4", "--greedy", "--ignore-eos"};
      words.insert(words.end(), more.begin(), more.end());
      return succeeds(words);
    };
    succeeds({"past", "save", model, "--text", "abcdefg", "--past-file", past});
    EXPECT_EQ(written({"--text", "abcdefghij"}), written({"--text", "abcdefghij", "--past-file", past}));
    EXPECT_EQ(written({"--text", "abcdefghij"}), written({"--text", "abcdefghij", "--no-past"}));
    succeeds({"quantize", model, "--output-dir", few, "--load-in", "int8"});
    EXPECT_THAT(succeeds({"check", few, "--text", "abcdefghijkl"}), testing::HasSubstr("identical"));
  }
}

}  // namespace
}  // namespace pkv::program
