// What is said about broken tokenizer.model and tekken.json files, and what the small ones of them mean.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "text/sentencepiece.h"
#include "text/tekken.h"
#include "toys.h"

namespace pkv::text {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Fields of a protocol buffer.
std::string bytes_field(int number, std::string_view bytes) {
  return joined(
      {std::string(1, static_cast<char>(number << 3 | 2)), std::string(1, static_cast<char>(bytes.size())), bytes});
}
std::string integer_field(int number, int value) {
  std::string field;
  const int key = number << 3;
  if (key > 127) field += static_cast<char>((key & 0x7f) | 0x80);
  field += static_cast<char>(key > 127 ? key >> 7 : key);
  return field += static_cast<char>(value);
}
std::string piece(std::string_view text, float score, int kind = 1) {
  std::array<char, 4> bits;
  std::memcpy(bits.data(), &score, bits.size());
  return bytes_field(1,
                     joined({bytes_field(1, text), "\x15", std::string_view(bits.data(), 4), integer_field(3, kind)}));
}

// Better pieces have higher scores: "bc" before "ab".
const std::string kModel = joined({piece("<unk>", 0, 2), piece("<s>", 0, 3), piece("</s>", 0, 3), piece("a", -3),
                                   piece("b", -4), piece("c", -5), piece("ab", -2), piece("bc", -1),
                                   piece("\xe2\x96\x81", -6), bytes_field(2, integer_field(3, 2))});

class TokenizerFilesOfOthers : public TokenizerFolder {};

TEST_F(TokenizerFilesOfOthers, PiecesMergeByScoreOrById) {
  put("tokenizer.model", kModel);
  EXPECT_EQ(Tokenizer::load(folder_).encode("abc</s>"), (Ids{8, 3, 7, 2})) << "by score, behind the dummy prefix";
  put("tokenizer_config.json", R"({"tokenizer_class":"LlamaTokenizer","add_bos_token":true,"pad_token":"<pad>"})");
  const Tokenizer llama = Tokenizer::load(folder_);
  EXPECT_EQ(llama.encode("abc<pad>"), (Ids{1, 8, 6, 5, 9})) << "by id";
  EXPECT_EQ(llama.decode(Ids{8, 6, 5}), "abc");
  put("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer"})");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("tokenizer_class: a tokenizer of this class needs a tokenizer.json"),
                               HasSubstr("LlamaTokenizer")));
}

TEST_F(TokenizerFilesOfOthers, PiecesThatAreBroken) {
  const auto refusal_of = [&](std::string_view bytes) {
    put("tokenizer.model", bytes);
    return refusal();
  };
  EXPECT_THAT(refusal_of(""), HasSubstr("tokenizer.model: byte 0: there are no pieces"));
  EXPECT_THAT(refusal_of(kModel.substr(0, kModel.size() - 1)), HasSubstr("the file ends within a field"));
  EXPECT_THAT(refusal_of("version https://git-lfs.github.com/spec/v1"),
              HasSubstr("which is a protocol buffer: no pointer of Git LFS"));
  EXPECT_THAT(refusal_of(kModel + piece("a", 0)), HasSubstr("two pieces are 'a'"));
  EXPECT_THAT(refusal_of(kModel + piece("\xff", 0)), HasSubstr("a text is not UTF-8"));
  EXPECT_THAT(refusal_of(kModel + piece("", 0)), HasSubstr("a piece is empty"));
  EXPECT_THAT(refusal_of(kModel + piece("x", 0, 9)), HasSubstr("a piece is of an unknown kind"));
  EXPECT_THAT(refusal_of(kModel + piece("x", 0.0f / 0.0f)), HasSubstr("a score is not finite"));
  EXPECT_THAT(refusal_of(kModel + bytes_field(2, integer_field(3, 1))),
              HasSubstr("a tokenizer of the kind Unigram is not supported"));
  EXPECT_THAT(refusal_of(kModel + bytes_field(3, bytes_field(2, "x"))), HasSubstr("precompiled normalisation"));
  EXPECT_THAT(refusal_of(kModel + std::string("\x48") + std::string(12, '\xff')), HasSubstr("a number is too long"));
}

std::string tekken(std::string_view last_token = "YWI=", std::string_view size = "259") {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string json = joined(
      {R"({"config":{"pattern":"\\p{L}+|.","default_vocab_size":)", size,
       R"(,"default_num_special_tokens":2},"special_tokens":[{"rank":1,"token_str":"<s>","is_control":true}],"vocab":[)"});
  for (int i = 0; i < 256; ++i) {
    json += R"({"rank":)" + std::to_string(i) + R"(,"token_str":null,"token_bytes":")";
    json += {letters[static_cast<std::size_t>(i >> 2)], letters[static_cast<std::size_t>(i << 4 & 0x3f)], '=', '='};
    json += "\"},";
  }
  return json + joined({R"({"rank":256,"token_str":"ab","token_bytes":")", last_token, R"("}]})"});
}

TEST_F(TokenizerFilesOfOthers, TekkenHasSpecialTokensFirst) {
  put("tekken.json", tekken());
  const Tokenizer t = Tokenizer::load(folder_);
  EXPECT_EQ(t.encode("ab c"), (Ids{1, 258, 2 + ' ', 2 + 'c'}));
  EXPECT_EQ(t.encode("<s>", false), (Ids{2 + '<', 2 + 's', 2 + '>'})) << "spelled out it is no token";
  EXPECT_THAT(t.notes(), ElementsAre(HasSubstr("special tokens that a text spells out are split")));
  EXPECT_EQ(t.decode(Ids{1, 258, 0}), "<s>ab<SPECIAL_0>");
  EXPECT_EQ(t.decode(Ids{1, 258, 0}, true), "ab");
  EXPECT_EQ(t.vocab_size(), 259);
}

TEST_F(TokenizerFilesOfOthers, TekkenMayHaveKeysThatNobodyKnows) {
  std::string json = tekken();
  json.insert(1, R"("more":1,"image":{},)");
  put("tekken.json", json);
  EXPECT_THAT(Tokenizer::load(folder_).notes(), testing::Contains(HasSubstr("tekken.json: more: unknown key ignored")));
}

TEST_F(TokenizerFilesOfOthers, TekkenThatIsBroken) {
  const auto refusal_of = [&](std::string_view json) {
    put("tekken.json", json);
    return refusal();
  };
  EXPECT_THAT(refusal_of("{}"), HasSubstr("tekken.json: config: is missing"));
  EXPECT_THAT(refusal_of(tekken("YWI")), AllOf(HasSubstr("vocab[256].token_bytes"), HasSubstr("base64")));
  EXPECT_THAT(refusal_of(tekken("Y*I=")), HasSubstr("base64"));
  EXPECT_THAT(refusal_of(tekken("YQ==")), HasSubstr("two tokens are of the same bytes"));
  EXPECT_THAT(refusal_of(tekken("YWI=", "300")), AllOf(HasSubstr("there are 257 tokens"), HasSubstr("298")));
}

}  // namespace
}  // namespace pkv::text
