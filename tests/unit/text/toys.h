// Small tokenizers for the tests of room text, spelled as tokenizer.json.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "text/byte_alphabet.h"
#include "text/text.h"

namespace pkv::text {

using Ids = std::vector<std::int32_t>;

inline std::string joined(std::initializer_list<std::string_view> parts) {
  std::string s;
  for (const std::string_view part : parts) s += part;
  return s;
}

// {"a":0,"b":1,"ab":2} with further keys of the file, each with a leading comma.
inline std::string toy_json(std::string_view more = "", std::string_view more_of_model = "") {
  return joined(
      {R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"])", more_of_model, "}", more, "}"});
}

inline Tokenizer toy(std::string_view more = "", std::string_view more_of_model = "") {
  return Tokenizer::parse(toy_json(more, more_of_model));
}

// All bytes, ids 0 to 255, then "aa" 256, "aaaa" 257, "ĠĠ" 258.
inline Tokenizer byte_toy(std::string_view pre_tokenizer, std::string_view more = "") {
  std::string vocab;
  int id = 0;
  for (const ByteCharacter& c : byte_alphabet()) {
    const std::string_view token(c.bytes, c.size);
    const bool escape = token == "\"" || token == "\\";
    vocab += joined({"\"", escape ? "\\" : "", token, "\":", std::to_string(id++), ","});
  }
  return Tokenizer::parse(joined({R"({"model":{"vocab":{)", vocab, R"("aa":256,"aaaa":257,"ĠĠ":258},)",
                                  R"("merges":["a a","aa aa","Ġ Ġ"]},"decoder":{"type":"ByteLevel"},"pre_tokenizer":)",
                                  pre_tokenizer, more, "}"}));
}

inline constexpr std::string_view kByteLevel =
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";

inline std::string error_of(const auto& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

// The error of a tokenizer.json.
inline std::string refusal(std::string_view json) {
  return error_of([&] { Tokenizer::parse(json); });
}

// An empty folder for the files of a tokenizer, which goes with the test.
class TokenizerFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void put(std::string_view name, std::string_view text) { write_file(folder_ / name, text); }
  std::string refusal() {
    return error_of([&] { Tokenizer::load(folder_); });
  }
  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
};

}  // namespace pkv::text
