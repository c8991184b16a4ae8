// Our tokenizers against the `tokenizers` library: the same ids and the same text for every string of every golden that
// tools/make_tokenizer_goldens.py wrote, which also says what the files hold.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/places.h"
#include "text/text.h"

namespace pkv::text {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Ids = std::vector<std::int32_t>;

const fs::path kSource = support::source();
const fs::path kGoldens = kSource / "tests/golden/tokenizers";
constexpr std::string_view kEnding = ".golden.json";
constexpr std::size_t kShown = 5;  // differences spelled out

json read(const fs::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

const std::vector<std::string>& strings() {
  static const auto list = read(kGoldens / "strings.json").get<std::vector<std::string>>();
  return list;
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(kGoldens)) {
    const std::string file = entry.path().filename().string();
    if (file.ends_with(kEnding)) found.push_back(file.substr(0, file.size() - kEnding.size()));
  }
  std::sort(found.begin(), found.end());
  return found;
}

Ids ids_of(const std::string& base36) {
  Ids ids;
  std::istringstream words(base36);
  for (std::string word; words >> word;) ids.push_back(std::stoi(word, nullptr, 36));
  return ids;
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip) {
  Tokenizer::Stream stream(tokenizer, skip);
  std::string text;
  for (const std::int32_t id : ids) text += stream.push(id);
  return text + stream.finish();
}

std::string shown(const Ids& ids, const Tokenizer& tokenizer) {
  std::string s;
  for (const std::int32_t id : ids) s += std::to_string(id) + "'" + tokenizer.token(id) + "' ";
  return s;
}

class TokenizerGolden : public testing::TestWithParam<std::string> {
 protected:
  const json golden_ = read(kGoldens / (GetParam() + std::string(kEnding)));
  const Tokenizer tokenizer_ = Tokenizer::load(kSource / golden_["folder"].get<std::string>());
};

TEST_P(TokenizerGolden, EncodesEveryString) {
  const json& wanted = golden_["ids"];
  ASSERT_EQ(wanted.size(), strings().size()) << "strings.json is not the one that this golden was made with";
  const auto prefix = golden_["with_special"][0].get<Ids>(), suffix = golden_["with_special"][1].get<Ids>();
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const Ids expected = ids_of(wanted[i]), got = tokenizer_.encode(strings()[i], false);
    if (got != expected && wrong++ < kShown) {
      ADD_FAILURE() << "string " << i << ": " << json(strings()[i]).dump(-1, ' ', true) << "\n  expected "
                    << shown(expected, tokenizer_) << "\n  got      " << shown(got, tokenizer_);
    }
    Ids framed = prefix;
    framed.insert(framed.end(), expected.begin(), expected.end());
    framed.insert(framed.end(), suffix.begin(), suffix.end());
    if (got == expected) {
      ASSERT_EQ(tokenizer_.encode(strings()[i]), framed) << "string " << i;
    }
  }
  EXPECT_EQ(wrong, 0u) << "of " << wanted.size();
}

TEST_P(TokenizerGolden, DecodesEveryString) {
  for (std::size_t i = 0; i < strings().size(); ++i) {
    const Ids ids = ids_of(golden_["ids"][i]);
    const std::string key = std::to_string(i);
    const std::string text = golden_["decoded"].value(key, strings()[i]);
    ASSERT_EQ(tokenizer_.decode(ids), text) << "string " << i;
    ASSERT_EQ(tokenizer_.decode(ids, true), golden_["skipped"].value(key, text)) << "string " << i;
    ASSERT_EQ(streamed(tokenizer_, ids, false), text) << "string " << i;
  }
}

TEST_P(TokenizerGolden, DecodesRandomIds) {
  for (const json& drawn : golden_["random"]) {
    const Ids ids = ids_of(drawn[0]);
    ASSERT_EQ(tokenizer_.decode(ids), drawn[1].get<std::string>()) << drawn[0];
    ASSERT_EQ(tokenizer_.decode(ids, true), drawn[2].get<std::string>()) << drawn[0];
    ASSERT_EQ(streamed(tokenizer_, ids, true), drawn[2].get<std::string>()) << drawn[0];
  }
}

TEST_P(TokenizerGolden, KnowsItsTokens) {
  EXPECT_EQ(tokenizer_.vocab_size(), golden_["vocab_size"].get<std::int64_t>());
  for (const json& token : golden_["of_ids"]) {
    const auto id = token[0].get<std::int32_t>();
    EXPECT_EQ(tokenizer_.token(id), token[1].get<std::string>());
    EXPECT_EQ(tokenizer_.id(token[1].get<std::string>()), id);
    EXPECT_EQ(tokenizer_.is_special(id), token[2].get<bool>()) << id;
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden, testing::ValuesIn(names()), [](const auto& test) {
  std::string name = test.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace pkv::text
