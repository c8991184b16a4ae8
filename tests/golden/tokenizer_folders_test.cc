// Folders in which several files have a say about the tokenizer: the same ids and texts as AutoTokenizer of
// transformers for every folder and text that tools/make_tokenizer_folder_goldens.py drew, which also says what the
// file holds.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/places.h"
#include "text/text.h"

namespace pkv::text {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Ids = std::vector<std::int32_t>;

const json& goldens() {
  static const json all = [] {
    std::ifstream file(support::source() / "tests/golden/tokenizer_folders/goldens.json");
    return json::parse(file);
  }();
  return all;
}

class TokenizerFolders : public testing::Test {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void put(const json& golden) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    const json& model = goldens()["vocabularies"][golden["vocabulary"].get<std::string>()];
    for (const auto& [name, value] : golden["files"].items()) {
      json whole = value;
      if (name == "tokenizer.json") {
        whole["model"]["vocab"] = model["vocab"];
        whole["model"]["merges"] = model["merges"];
      }
      std::ofstream(folder_ / name) << whole.dump();
    }
    if (!golden["merges_apart"].get<bool>()) return;
    std::ofstream(folder_ / "vocab.json") << model["vocab"].dump();
    std::ofstream merges(folder_ / "merges.txt");
    for (const json& m : model["merges"]) merges << m[0].get<std::string>() << ' ' << m[1].get<std::string>() << '\n';
  }

  fs::path folder_ = fs::path(testing::TempDir()) / "tokenizer_folder";
};

TEST_F(TokenizerFolders, AreReadAsAutoTokenizerReadsThem) {
  std::size_t number = 0, texts = 0;
  for (const json& golden : goldens()["folders"]) {
    SCOPED_TRACE("folder " + std::to_string(number++) + ", " + golden["class"].get<std::string>() + ": " +
                 golden["files"].value("tokenizer_config.json", json()).dump());
    put(golden);
    const Tokenizer tokenizer = Tokenizer::load(folder_);
    for (const json& one : golden["texts"]) {
      const auto text = one["text"].get<std::string>();
      const auto ids = one["ids"].get<Ids>();
      const std::string decoded = one["decoded"];
      EXPECT_EQ(tokenizer.encode(text), ids) << json(text);
      EXPECT_EQ(tokenizer.encode(text, false), one.value("bare", ids)) << json(text);
      EXPECT_EQ(tokenizer.decode(ids), decoded) << json(text);
      EXPECT_EQ(tokenizer.decode(ids, true), one.value("skipped", decoded)) << json(text);
      Tokenizer::Reader reader(tokenizer);
      Ids streamed;
      for (std::size_t at = 0; at < text.size(); at += 3) {
        for (const std::int32_t id : reader.push(text.substr(at, 3))) streamed.push_back(id);
      }
      for (const std::int32_t id : reader.finish()) streamed.push_back(id);
      EXPECT_EQ(streamed, ids) << json(text);
      ++texts;
    }
  }
  EXPECT_GE(number, 120u);
  EXPECT_GE(texts, 600u);
}

}  // namespace
}  // namespace pkv::text
