// What is refused on loading, and in which words; and the older layout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "text/json.h"
#include "toys.h"

namespace pkv::text {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TEST(Json, Broken) {
  EXPECT_THAT(refusal("{"), AllOf(StartsWith("tokenizer.json: byte 1: is not valid JSON")));
  EXPECT_THAT(refusal(""), HasSubstr("is not valid JSON"));
  EXPECT_EQ(refusal("[]"), "tokenizer.json: has the wrong value\n  expected: an object\n  found:    []");
  EXPECT_THAT(refusal("{\"a\":\"\xff\"}"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(refusal(R"({"model":{"vocab":{"a":0},"merges":[]}} x)"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(refusal(R"({"version":"2.0","model":{}})"), HasSubstr("tokenizer.json: version: not supported"));
  EXPECT_THAT(refusal(toy_json() + std::string("\0anything", 9)),
              HasSubstr("is not valid JSON\n  found:    a NUL byte"));
}

// What a file holds is shown cut, and with its control characters escaped.
TEST(Json, MessagesStayShort) {
  const std::string any(1 << 19, 'x');
  std::vector<std::string> texts;
  texts.push_back(refusal(joined({R"({"\u001b[31m)", any, R"(":0})"})));
  texts.push_back(refusal(joined({R"({"model":{"vocab":{"\u001b[31m)", any, R"(":-1}}})"})));
  texts.push_back(refusal(joined({R"({"a":{"\u001b[31m)", any, R"(":0,"\u001b[31m)", any, R"(":0}})"})));
  texts.push_back(refusal(joined({R"({"model":{"vocab":{"a":0},"merges":[["a","\u001b[31m)", any, R"("]]}})"})));
  const Tokenizer other_id =
      toy(joined({R"(,"added_tokens":[{"id":7,"content":"\u001b[31m)", any,
                  R"(","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}])"}));
  texts.push_back(other_id.notes()[0]);
  texts.push_back(refusal(toy_json(joined({R"(,"normalizer":{"type":"Replace","pattern":{"Regex":"[\u001b[31m)",
                                           std::string(10'000, 'x'), R"("},"content":""})"}))));
  texts.push_back(refusal(joined({R"({"model": )", "\"\x1b", any, "\"}"})));
  for (const std::string& text : texts) {
    EXPECT_NE(text, "no error");
    EXPECT_LT(text.size(), 600) << text.substr(0, 200);
    EXPECT_EQ(text.find('\x1b'), text.npos) << text.substr(0, 200);
  }
}

// 2 KiB of file that stand for 1 GiB of text.
TEST(Json, AnAddedTokenThatReplaceMakesHuge) {
  const auto replace = [](std::string_view content) {
    return joined({R"({"type":"Replace","pattern":{"String":"a"},"content":")", content, "\"}"});
  };
  const std::string many(1 << 10, 'a'),
      token = joined(
          {R"(,"added_tokens":[{"id":3,"content":")", many,
           R"(","single_word":false,"lstrip":false,"rstrip":false,"normalized":true,"special":false}],"normalizer":)"});
  const auto kind = [](const std::string& json) {
    try {
      Tokenizer::parse(json);
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), AllOf(HasSubstr("added_tokens: the added tokens are too long"), HasSubstr("4194304")));
      return e.kind();
    }
    return Error::Kind::internal;
  };
  EXPECT_EQ(kind(toy_json(token + replace(std::string((1 << 20) - 1, 'b')))), Error::Kind::load);
  const std::string twice = joined({R"({"type":"Sequence","normalizers":[)", replace(many), ",", replace(many), "]}"});
  EXPECT_EQ(kind(toy_json(token + twice)), Error::Kind::load);
}

TEST(Json, HostileSizes) {
  EXPECT_THAT(refusal(std::string(100000, '[')), HasSubstr("nested too deep"));
  const auto many = [](std::string_view key, int count) {
    std::string json = joined({"{\"", key, "\":["});
    for (int i = 0; i < count; ++i) json += "0,";
    return refusal(json + "0]}");
  };
  EXPECT_THAT(many("added_tokens", 1 << 20), HasSubstr("too many values"));
  EXPECT_THAT(many("decoder", 1 << 12),
              HasSubstr("too many values outside model.vocab, model.merges and added_tokens"));
  std::string added;
  for (char c : {'v', 'w', 'x', 'y', 'z'}) {
    added += joined({added.empty() ? "" : ",", R"({"id":3,"content":")", std::string((1 << 20) - 100, c),
                     R"(","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true})"});
  }
  EXPECT_THAT(refusal(toy_json(joined({R"(,"added_tokens":[)", added, "]"}))),
              AllOf(StartsWith("tokenizer.json: added_tokens[4]: the added tokens are too long"),
                    HasSubstr("at most 4194304 bytes")));
  for (const std::string end : {"\"}", "", "\\", "\\\""}) {
    EXPECT_THAT(refusal(joined({R"({"a\"b":")", std::string((1 << 20) + 1, 'x'), end})),
                AllOf(StartsWith("tokenizer.json: byte 8: a string is too long"), HasSubstr("at most 1048576 bytes")));
  }
}

TEST(Json, TooManyMerges) {
  MergeList merges;
  for (std::size_t i = 0; i < MergeList::kMost; ++i) ASSERT_TRUE(merges.add("a", ""));
  EXPECT_FALSE(merges.add("a", ""));
}

TEST(Json, KeysThatAreThereTwice) {
  EXPECT_EQ(refusal(R"({"version":"1.0","version":"1.0"})"), "tokenizer.json: version: key appears twice");
  EXPECT_EQ(refusal(R"({"model":{"vocab":{"a":0,"a":1}}})"), "tokenizer.json: model.vocab 'a': key appears twice");
  EXPECT_EQ(refusal(R"({"model":{"vocab":{},"vocab":{}}})"), "tokenizer.json: model.vocab: key appears twice");
  EXPECT_EQ(refusal(R"({"model":{"merges":[],"merges":[]}})"), "tokenizer.json: model.merges: key appears twice");
  EXPECT_EQ(refusal(R"({"added_tokens":[1,{"b":{"c":1,"c":2}}]})"),
            "tokenizer.json: added_tokens[1].b.c: key appears twice");
}

TEST(Json, VocabulariesAndMerges) {
  const auto model = [](std::string_view inside) { return refusal(joined({R"({"model":{)", inside, "}}"})); };
  EXPECT_THAT(model(R"("vocab":[])"),
              AllOf(StartsWith("tokenizer.json: model.vocab: is not a vocabulary"), HasSubstr("found:    a list")));
  EXPECT_THAT(model(R"("vocab":3)"), HasSubstr("model.vocab: is not a vocabulary"));
  EXPECT_THAT(model(R"("vocab":{"a":"0"})"),
              AllOf(HasSubstr("model.vocab 'a': is not an id"), HasSubstr("found:    \"0\"")));
  EXPECT_THAT(model(R"("vocab":{"a":-1})"), HasSubstr("found:    -1"));
  EXPECT_THAT(model(R"("vocab":{"a":1.5})"), HasSubstr("is not an id"));
  EXPECT_THAT(model(R"("vocab":{"a":{}})"), HasSubstr("is not an id"));
  EXPECT_THAT(model(R"("vocab":{"a":[]})"), HasSubstr("is not an id"));
  EXPECT_THAT(model(R"("vocab":{"a":1152921504606846976})"), HasSubstr("model.vocab 'a': the id is out of range"));
  EXPECT_THAT(model(R"("vocab":{"a":7,"b":7},"merges":[])"), HasSubstr("model.vocab: two tokens have the id 7"));
  EXPECT_THAT(model(R"("vocab":{"a":0})"), HasSubstr("tokenizer.json: model.merges: is missing"));
  EXPECT_THAT(model(R"("merges":[])"), HasSubstr("tokenizer.json: model.vocab: is missing"));
  EXPECT_THAT(model(R"("merges":{})"), HasSubstr("model.merges: is not a list of merges"));
  EXPECT_THAT(model(R"("merges":["a b", "ab"])"), HasSubstr("model.merges[1]: is not a merge"));
  EXPECT_THAT(model(R"("merges":["a b c"])"), HasSubstr("model.merges[0]: is not a merge"));
  EXPECT_THAT(model(R"("merges":[["a"]])"), HasSubstr("model.merges[0]: is not a merge"));
  EXPECT_THAT(model(R"("merges":[["a","b","c"]])"), HasSubstr("model.merges[0]: is not a merge"));
  EXPECT_THAT(model(R"("merges":[["a",1]])"), HasSubstr("model.merges[0]: is not a merge"));
  EXPECT_THAT(model(R"("merges":[[["a"]]])"), HasSubstr("model.merges[0]: is not a merge"));
  EXPECT_THAT(model(R"("merges":["a b"],"vocab":{"b":0})"),
              HasSubstr("model.merges[0]: the left token is not in the vocabulary"));
  EXPECT_THAT(model(R"("merges":["a b"],"vocab":{"a":0})"), HasSubstr("the right token is not in the vocabulary"));
  EXPECT_THAT(model(R"("merges":["a b"],"vocab":{"a":0,"b":1})"),
              AllOf(HasSubstr("the merged token"), HasSubstr("'ab'")));
}

TEST(Json, UnigramModels) {
  const auto model = [](std::string_view inside) {
    return refusal(joined({R"({"model":{"type":"Unigram",)", inside, "}}"}));
  };
  EXPECT_THAT(model(R"("unk_id":0)"), HasSubstr("model.vocab: is missing"));
  EXPECT_THAT(model(R"("vocab":{"a":0})"), HasSubstr("model.vocab: is no vocabulary of a Unigram model"));
  EXPECT_THAT(model(R"("vocab":[])"), HasSubstr("a list of pieces and scores"));
  for (const char* entry :
       {R"("a")", "1", R"(["a"])", R"([1,"a"])", R"(["a","b"])", R"(["a",1,2])", "[]", "{}", "[[1]]"}) {
    EXPECT_THAT(model(joined({R"("vocab":[["x",0],)", entry, "]"})),
                HasSubstr("model.vocab[1]: is not a piece with its score"))
        << entry;
  }
  EXPECT_THAT(model(R"("vocab":[["a",0],["a",-1.5]])"), HasSubstr("model.vocab[1]: this piece is there twice"));
  EXPECT_THAT(model(R"("vocab":[["a",0]],"unk_id":1)"), HasSubstr("an integer from 0 to 0"));
  EXPECT_THAT(model(R"("vocab":[["a",0]],"dropout":1)"), HasSubstr("dropout: is not known here"));
}

// By the greatest sum of scores; what no piece has is unknown, side by side once.
TEST(Json, UnigramModelsChooseTheBestPieces) {
  const Tokenizer t = Tokenizer::parse(
      R"({"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-2],["b",-2],["ab",-3],["abb",-9],["é",-1]]}})");
  EXPECT_EQ(t.encode("abb"), (Ids{3, 2})) << "-5 is better than -6 and -9";
  EXPECT_EQ(t.encode("xyaé"), (Ids{0, 1, 5}));
  EXPECT_EQ(t.decode(Ids{3, 2}), "ab b");
  EXPECT_EQ(t.id("abb"), 4);
  const Tokenizer without = Tokenizer::parse(R"({"model":{"type":"Unigram","unk_id":null,"vocab":[["a",-2]]}})");
  EXPECT_EQ(without.encode("aa"), (Ids{0, 0}));
  EXPECT_THAT(error_of([&] { without.encode("ab"); }), HasSubstr("there is no unknown token"));
}

TEST(Refusals, MapsOfCharacters) {
  const auto map = [](std::string_view base64) {
    return refusal(
        toy_json(joined({R"(,"normalizer":{"type":"Precompiled","precompiled_charsmap":")", base64, "\"}"})));
  };
  EXPECT_THAT(map("?"), HasSubstr("normalizer.precompiled_charsmap: has the wrong value"));
  EXPECT_THAT(map("AAAA"), HasSubstr("the map of characters is damaged")) << "too short";
  EXPECT_THAT(map("AAAAAA=="), HasSubstr("the map of characters is damaged")) << "empty";
  EXPECT_THAT(map("CAAAAAAAAAA="), HasSubstr("the map of characters is damaged")) << "shorter than it says";
  EXPECT_THAT(map("BAAAAAAAAAD/"), HasSubstr("the map of characters is damaged")) << "no UTF-8";
  const Tokenizer t = toy(R"(,"normalizer":{"type":"Precompiled","precompiled_charsmap":"BAAAAP////8A"})");
  EXPECT_EQ(t.encode("ab"), (Ids{2})) << "a map that leads out of itself maps nothing";
}

TEST(Json, MergesInBothSpellingsAndBeforeTheVocabulary) {
  const Tokenizer t = Tokenizer::parse(
      R"({"model":{"merges":["#version: 0.2","a b",["a b","c"]],"vocab":{"a":0,"b":5,"ab":9,"c":2,"a b":1,"a bc":3}}})");
  EXPECT_EQ(t.encode("abc"), (Ids{9, 2}));
  EXPECT_EQ(t.vocab_size(), 6);
  EXPECT_EQ(t.token(9), "ab");
}

TEST(Json, TruncationAndPaddingAreNotAppliedAndThatIsSaid) {
  const Tokenizer t = toy(
      R"(,"truncation":{"max_length":1,"strategy":"LongestFirst","stride":0,"direction":"Right"},"padding":{"length":9})");
  EXPECT_EQ(t.encode("aaa"), (Ids{0, 0, 0}));
  EXPECT_THAT(t.notes(), ElementsAre("tokenizer.json: truncation is not applied: texts stay whole",
                                     "tokenizer.json: padding is not applied: no tokens are added"));
  EXPECT_THAT(toy(R"(,"truncation":null,"padding":null)").notes(), IsEmpty());
}

// Each of these loads in the library; skipping what they ask for would give other ids.
TEST(Refusals, NameWhatIsNotSupported) {
  EXPECT_EQ(refusal(toy_json(R"(,"normalizer":{"type":"Nmt"})")),
            "tokenizer.json: normalizer.type: this normalizer is not supported\n"
            "  expected: NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, BertNormalizer, Replace, Prepend, "
            "Precompiled, ByteLevel or Sequence\n"
            "  found:    \"Nmt\"");
  EXPECT_THAT(refusal(toy_json(R"(,"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Nmt"}]})")),
              HasSubstr("normalizer.normalizers[1].type: this normalizer"));
  EXPECT_THAT(refusal(toy_json(R"(,"pre_tokenizer":{"type":"UnicodeScripts"})")),
              HasSubstr("pre_tokenizer.type: this pre-tokenizer"));
  EXPECT_THAT(refusal(toy_json(R"(,"decoder":{"type":"CTC"})")), HasSubstr("decoder.type: this decoder"));
  EXPECT_THAT(refusal(toy_json(R"(,"post_processor":{"type":"Surprise"})")),
              HasSubstr("post_processor.type: this post-processor"));
  EXPECT_THAT(refusal(R"({"model":{"type":"WordLevel","vocab":{},"merges":[]}})"),
              HasSubstr("model.type: a tokenizer of the kind WordLevel is not supported"));
  EXPECT_THAT(refusal(R"({"model":{"type":"WordPiece","vocab":{},"max_input_chars_per_word":1000000}})"),
              HasSubstr("model.max_input_chars_per_word: "));
  EXPECT_THAT(refusal(R"({"model":{"type":"WordPiece","vocab":{},"surprise":1}})"),
              HasSubstr("model.surprise: is not known"));
  EXPECT_THAT(refusal(toy_json("", R"(,"dropout":0.1)")), HasSubstr("model.dropout: dropout makes encoding random"));
  EXPECT_THAT(refusal(toy_json("", R"(,"surprise":1)")),
              HasSubstr("model.surprise: is not known here and would be ignored"));
  EXPECT_THAT(refusal(toy_json(R"(,"surprise":1)")), HasSubstr("tokenizer.json: surprise: is not known here"));
  EXPECT_THAT(refusal(toy_json(R"(,"pre_tokenizer":{"type":"Digits","individual_digits":1})")),
              HasSubstr("pre_tokenizer.individual_digits: has the wrong value"));
  EXPECT_THAT(refusal(toy_json(R"(,"pre_tokenizer":{"type":"Digits"})")),
              HasSubstr("pre_tokenizer.individual_digits: is missing"));
  EXPECT_THAT(refusal(toy_json(R"(,"pre_tokenizer":{"type":"Punctuation","behavior":"Odd"})")),
              HasSubstr("expected: Removed, Isolated"));
  EXPECT_THAT(
      refusal(toy_json(R"(,"pre_tokenizer":{"type":"Split","pattern":{},"behavior":"Removed","invert":false})")),
      HasSubstr("either String or Regex"));
  EXPECT_THAT(refusal(toy_json(R"(,"decoder":{"type":"Strip","content":"ab","start":0,"stop":0})")),
              HasSubstr("expected: one character"));
  EXPECT_THAT(refusal(toy_json(R"(,"decoder":{"type":"Strip","content":"a","start":-1,"stop":0})")),
              HasSubstr("decoder.start"));
}

TEST(Refusals, PostProcessors) {
  const auto post = [](std::string_view inside) {
    return refusal(toy_json(joined({R"(,"post_processor":)", inside})));
  };
  const std::string roberta =
      R"({"type":"RobertaProcessing","sep":["a",0],"cls":["b",1],"trim_offsets":true,"add_prefix_space":true})";
  EXPECT_THAT(post(joined({R"({"type":"Sequence","processors":[)", roberta, ",", roberta, "]}"})),
              HasSubstr("a second post-processor"));
  EXPECT_THAT(post(R"({"type":"RobertaProcessing","sep":["a"],"cls":["b",1]})"), HasSubstr("[token, id]"));
  EXPECT_THAT(post(R"({"type":"RobertaProcessing","sep":["a",0],"cls":["b",9999999999]})"),
              HasSubstr("post_processor.cls[1]"));
  EXPECT_THAT(
      post(
          R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}}],"pair":[],"special_tokens":{}})"),
      HasSubstr("is not among special_tokens"));
  EXPECT_THAT(
      post(
          R"({"type":"TemplateProcessing","single":[{"Sequence":{"id":"B","type_id":0}}],"pair":[],"special_tokens":{}})"),
      HasSubstr("no second text"));
}

TEST(Refusals, AddedTokens) {
  const auto tokens = [](std::string_view inside) {
    return refusal(toy_json(joined({R"(,"added_tokens":[)", inside, "]"})));
  };
  const std::string rest = R"(,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true})";
  EXPECT_THAT(tokens(joined({R"({"id":1152921504606846976,"content":"x")", rest})),
              HasSubstr("added_tokens[0].id: has the wrong value"));
  EXPECT_THAT(tokens(R"({"id":3})"), HasSubstr("added_tokens[0].content: is missing"));
}

// As the library has it: the id is that of the vocabulary or the next one, and of tokens listed twice the last holds.
TEST(AddedTokensOfTheFile, HaveTheIdsOfTheLibrary) {
  const auto load = [](std::string_view inside) { return toy(joined({R"(,"added_tokens":[)", inside, "]"})); };
  const std::string rest = R"(,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":)";
  const Tokenizer other =
      load(joined({R"({"id":7,"content":"x")", rest, R"(true},{"id":1,"content":"a")", rest, "true}"}));
  EXPECT_EQ(other.encode("xa"), (Ids{3, 0}));
  EXPECT_THAT(other.notes(),
              ElementsAre("tokenizer.json: added_tokens: 'x' has the id 7 there, but gets 3 by the order "
                          "in which tokens are added; so do 1 more: so does transformers"));
  const Tokenizer twice =
      load(joined({R"({"id":3,"content":"x")", rest, R"(true},{"id":3,"content":"x")", rest, "false}"}));
  EXPECT_EQ(twice.encode("x"), (Ids{3}));
  EXPECT_EQ(twice.vocab_size(), 4);
  EXPECT_FALSE(twice.is_special(3));
  EXPECT_EQ(twice.decode(Ids{3, 0}, true), "a") << "what was special once is skipped";
  EXPECT_THAT(twice.notes(), testing::IsEmpty());
}

class Folders : public TokenizerFolder {};

// Nothing that a file says is passed over in silence.
TEST_F(Folders, KeysThatNobodyKnowsAreNotedOrRefused) {
  put("tokenizer.json", toy_json());
  put("tokenizer_config.json",
      R"({"model_max_length":8,"do_upper_case":true,"chat_template":"x","do_lower_case":false,"sp_model_kwargs":{}})");
  put("special_tokens_map.json", R"({"pad_token":"a","pad":"b"})");
  const Tokenizer t = Tokenizer::load(folder_);
  EXPECT_TRUE(t.has_chat_template());
  EXPECT_THAT(t.notes(), ElementsAre(HasSubstr("tokenizer_config.json: unknown key ignored: 'do_upper_case'"),
                                     HasSubstr("special_tokens_map.json: unknown key ignored: 'pad'")));
  // Of a file whose parts transformers builds anew, the rest is looked at all the same.
  put("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer"})");
  put("tokenizer.json", toy_json(R"(,"more":1)"));
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: more: is not known here and would be ignored"));
  put("tokenizer.json", toy_json(R"(,"pre_tokenizer":)" + std::string(kByteLevel) + R"(,"decoder":{"type":"Fuse"})"));
  EXPECT_THAT(Tokenizer::load(folder_).notes(),
              testing::Contains(HasSubstr("GPT2Tokenizer of transformers puts its own decoder in the place")));
}

TEST_F(Folders, TokenizerFilesForOtherVersionsAreRefused) {
  put("tokenizer.json", toy_json());
  put("tokenizer_config.json", R"({"fast_tokenizer_files":["tokenizer.json"]})");
  EXPECT_EQ(refusal(), "no error");
  put("tokenizer_config.json", R"({"fast_tokenizer_files":["tokenizer.json","tokenizer.4.0.0.json"]})");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("tokenizer_config.json: fast_tokenizer_files[1]"),
                               HasSubstr("copy tokenizer.4.0.0.json over tokenizer.json")));
}

TEST_F(Folders, WhatDecidesOnTheTokensAroundATextIsSaid) {
  put("tokenizer.json",
      toy_json(
          R"(,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"a","type_id":0}},)"
          R"({"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"a":{"id":"a","ids":[0],"tokens":["a"]}}})"));
  put("tokenizer_config.json", R"({"add_bos_token":true,"add_eos_token":false})");
  EXPECT_THAT(Tokenizer::load(folder_).notes(), IsEmpty());
  put("tokenizer_config.json", R"({"add_bos_token":false,"add_eos_token":true})");
  const Tokenizer t = Tokenizer::load(folder_);
  EXPECT_EQ(t.encode("b"), (Ids{0, 1}));
  EXPECT_THAT(t.notes(), ElementsAre(AllOf(HasSubstr("add_bos_token is not followed"), HasSubstr("adds one")),
                                     AllOf(HasSubstr("add_eos_token is not followed"), HasSubstr("adds none"))));
}

TEST_F(Folders, WithoutATokenizer) {
  EXPECT_THAT(refusal(), AllOf(HasSubstr("there is no tokenizer here"),
                               HasSubstr("tokenizer.json, vocab.json and merges.txt, tokenizer.model, tekken.json or "
                                         "vocab.txt")));
}

TEST_F(Folders, ErrorsNameTheFile) {
  put("tokenizer.json", "{");
  EXPECT_THAT(refusal(), StartsWith((folder_ / "tokenizer.json").string() + ": byte 1: is not valid JSON"));
}

TEST_F(Folders, TheOlderLayout) {
  put("vocab.json", R"({"a":0,"b":1,"ab":2,"Ġ":3,"<s>":4,"</s>":5,"<unk>":6,"<pad>":7})");
  put("merges.txt", "#version: 0.2\r\na b\r\n\n");
  EXPECT_THAT(refusal(), HasSubstr("nothing says whether this is a GPT-2 or a RoBERTa tokenizer"));
  put("config.json", R"({"model_type":"roberta"})");
  const Tokenizer roberta = Tokenizer::load(folder_);
  EXPECT_EQ(roberta.encode("ab"), (Ids{4, 2, 5}));
  EXPECT_EQ(roberta.id("<mask>"), 8) << "added, since the vocabulary lacks it";
  EXPECT_TRUE(roberta.is_special(8));
  put("tokenizer_config.json",
      R"({"tokenizer_class":"GPT2Tokenizer","bos_token":"<s>","eos_token":{"content":"</s>","lstrip":true},
      "unk_token":null,"add_bos_token":true,"add_prefix_space":true,"added_tokens_decoder":{"8":{"content":"xx","special":false}}})");
  const Tokenizer gpt2 = Tokenizer::load(folder_);
  EXPECT_EQ(gpt2.encode("ab </s>xx"), (Ids{4, 3, 2, 5, 8}));
  EXPECT_EQ(gpt2.vocab_size(), 9);
}

// A download that broke off leaves such: it is no reason to take another tokenizer.
TEST_F(Folders, ALinkToNothingIsNotAbsence) {
  put("vocab.json", R"({"a":0,"b":1,"ab":2})");
  put("merges.txt", "a b\n");
  put("tokenizer_config.json",
      R"({"tokenizer_class":"GPT2Tokenizer","bos_token":null,"eos_token":null,"unk_token":null})");
  EXPECT_EQ(refusal(), "no error");
  for (const char* name : {"tokenizer.json", "added_tokens.json", "special_tokens_map.json"}) {
    fs::create_symlink("none", folder_ / name);
    EXPECT_THAT(refusal(), HasSubstr(joined({name, ": is a link to a file that is not there"})));
    fs::remove(folder_ / name);
  }
}

// Not in the square of their number: that would take longer than a test may.
TEST_F(Folders, ManySpecialTokens) {
  std::string all, map;
  for (int i = 0; i < 300'000; ++i) {
    all += (all.empty() ? "\"t" : ",\"t") + std::to_string(i) + "\"";
    map += (map.empty() ? "\"t" : ",\"t") + std::to_string(i) + "\":" + std::to_string(i + 3);
  }
  put("vocab.json", R"({"a":0,"b":1,"ab":2})");
  put("merges.txt", "a b\n");
  put("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer","bos_token":null,"eos_token":null,"unk_token":null,
      "additional_special_tokens":[)" +
                                   all + "]}");
  put("added_tokens.json", "{" + map + "}");
  const Tokenizer tokenizer = Tokenizer::load(folder_);
  EXPECT_EQ(tokenizer.vocab_size(), 300'003);
  EXPECT_TRUE(tokenizer.is_special(tokenizer.id("t299999").value()));
}

TEST_F(Folders, TheOlderLayoutsErrors) {
  put("vocab.json", R"({"a":0,"b":1,"ab":2})");
  put("merges.txt", "a b\n");
  put("tokenizer_config.json", R"({"tokenizer_class":"LlamaTokenizer"})");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("tokenizer_class: a tokenizer of this class needs a tokenizer.json"),
                               HasSubstr("LlamaTokenizer")));
  put("tokenizer_config.json", R"({"tokenizer_class":"RobertaTokenizerFast","cls_token":null})");
  put("merges.txt", "a b\na b c\n");
  EXPECT_THAT(refusal(), HasSubstr("merges.txt: line 2: is not a merge"));
  put("merges.txt", "a c\n");
  EXPECT_THAT(refusal(), HasSubstr("model.merges[0]: the right token is not in the vocabulary"));
  put("merges.txt", "a b\n");
  EXPECT_THAT(refusal(), HasSubstr("there is no cls_token"));
  put("vocab.json", "[]");
  EXPECT_THAT(refusal(), HasSubstr("vocab.json: is not a vocabulary"));
  put("vocab.json", R"({"a":"b"})");
  EXPECT_THAT(refusal(), HasSubstr("is not an id"));
}

}  // namespace
}  // namespace pkv::text
