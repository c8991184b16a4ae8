#include "engine/generate/defaults.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "support/places.h"
#include "support/shell.h"

namespace pkv::generate {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// tiny-gpt2 with another generation_config.json, or with none and more in config.json.
class GenerationConfig : public testing::Test {
 protected:
  GenerationConfig() {
    fs::copy(source_ / "model.safetensors", folder_);
    fs::copy(source_ / "config.json", folder_);
  }

  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  Defaults read(const Given& given = {}) {
    return defaults_of(model::load(hf::Folder::open(folder_), kernels::Backend("cpu", 1)), given);
  }
  std::string error(const Given& given = {}, std::int64_t prompt_tokens = 5) {
    try {
      require_done(read(given), prompt_tokens);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), Error::Kind::load) << e.what();
      return e.what();
    }
    return "no error";
  }

  fs::path source_ = support::source() / "models" / "tiny-gpt2";
  support::TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

TEST_F(GenerationConfig, IsReadWithTransformersNames) {
  write("generation_config.json",
        R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.1,
            "eos_token_id": [7, 8], "bos_token_id": 9, "max_new_tokens": 33, "max_length": 70, "num_return_sequences": 2,
            "stop_strings": ["a", "b"], "use_cache": false, "transformers_version": "5.0.0"})");
  const Defaults d = read();
  const Sampling& s = d.options.sampling;
  EXPECT_TRUE(s.do_sample);
  EXPECT_EQ(s.temperature, 0.6);
  EXPECT_EQ(s.top_k, 20);
  EXPECT_EQ(s.top_p, 0.9);
  EXPECT_EQ(s.min_p, 0.05);
  EXPECT_EQ(s.repetition_penalty, 1.1);
  EXPECT_THAT(d.options.eos_token_id, ElementsAre(7, 8));
  EXPECT_EQ(d.bos_token_id, 9);
  EXPECT_EQ(d.options.num_sequences, 2);
  EXPECT_THAT(d.stop_strings, ElementsAre("a", "b"));
  EXPECT_EQ(default_new_tokens(d, {.context = 256}, 50).count, 33);
  EXPECT_THAT(d.notes, IsEmpty());
}

TEST_F(GenerationConfig, CanBeLeftAsideButForItsTokens) {
  write("generation_config.json", R"({"do_sample": true, "num_beams": 4, "eos_token_id": 7, "stop_strings": "a"})");
  const Defaults d = read({.settings = false});
  EXPECT_FALSE(d.options.sampling.do_sample);
  EXPECT_THAT(d.options.eos_token_id, ElementsAre(7));
  EXPECT_TRUE(d.stop_strings.empty());
}

TEST_F(GenerationConfig, IsConfigJsonWhereThereIsNone) {
  const Defaults d = read();
  EXPECT_THAT(d.options.eos_token_id, ElementsAre(1023));
  EXPECT_EQ(d.bos_token_id, 1023);
  EXPECT_FALSE(d.options.sampling.do_sample);
  EXPECT_THAT(d.file, HasSubstr("config.json"));
}

TEST_F(GenerationConfig, WithoutTokensMeansThatNoneEndsAText) {
  write("generation_config.json", R"({"eos_token_id": null, "bos_token_id": -1})");
  EXPECT_TRUE(read().options.eos_token_id.empty()) << "config.json's are not taken instead: transformers does not";
  EXPECT_FALSE(read().bos_token_id);
}

TEST_F(GenerationConfig, SaysHowMuchToWrite) {
  write("generation_config.json", R"({"max_length": 70})");
  const auto tokens = [](const Defaults& d, std::int64_t context, std::int64_t prompt) {
    return default_new_tokens(d, {.context = context}, prompt);
  };
  EXPECT_EQ(tokens(read(), 256, 50).count, 20);
  EXPECT_EQ(tokens(read(), 256, 50).note, "");
  EXPECT_EQ(tokens(read(), 60, 50).count, 11);
  EXPECT_THAT(tokens(read(), 60, 50).note,
              HasSubstr("max_length 70 with a prompt of 50 tokens and a context of 60: 11 to write"));
  EXPECT_EQ(tokens(read(), 256, 69).count, 1);
  for (const std::int64_t prompt : {70, 90}) {  // transformers 5 refuses it, too
    try {
      tokens(read(), 256, prompt);
      ADD_FAILURE() << prompt;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), AllOf(HasSubstr("generation_config.json: max_length"), HasSubstr("at most 69 tokens"),
                                  HasSubstr("--new-tokens")));
    }
  }
  EXPECT_EQ(tokens({}, 256, 50).count, 20);
  EXPECT_EQ(tokens({}, 256, 250).count, 7);
  EXPECT_EQ(tokens({}, 256, 250).note, "") << "20 is nobody's wish";
  write("generation_config.json", R"({"max_new_tokens": 2048})");
  EXPECT_EQ(tokens(read(), 256, 57).count, 200);
  EXPECT_THAT(tokens(read(), 256, 57).note, HasSubstr("max_new_tokens 2048"));
}

TEST_F(GenerationConfig, KeysThatNobodyKnowsAreNoted) {
  write("generation_config.json", R"({"use_cache": true, "pad_token_id": 3, "repeat_less": 0.5, "top_p": 0.9})");
  EXPECT_THAT(read().notes, ElementsAre(HasSubstr("generation_config.json: unknown key ignored: repeat_less: 0.5")));
  EXPECT_THAT(read({.settings = false}).notes, IsEmpty()) << "nothing of them is used";
  fs::remove(folder_ / "generation_config.json");
  EXPECT_THAT(read().notes, IsEmpty()) << "config.json's keys are the model's";
}

TEST_F(GenerationConfig, WhatIsNotDoneIsRefused) {
  const auto said = [this](const std::string& json) {
    write("generation_config.json", json);
    return error();
  };
  EXPECT_THAT(said(R"({"no_repeat_ngram_size": 3})"),
              testing::AllOf(HasSubstr("generation_config.json: no_repeat_ngram_size"), HasSubstr("null or 0"),
                             HasSubstr("--no-generation-config")));
  EXPECT_THAT(said(R"({"num_beams": 4})"), HasSubstr("num_beams"));
  EXPECT_THAT(said(R"({"suppress_tokens": [1, 2]})"), HasSubstr("[1,2]"));
  EXPECT_THAT(said(R"({"forced_eos_token_id": 0})"), HasSubstr("forced_eos_token_id"));
  EXPECT_THAT(said(R"({"forced_decoder_ids": [[1, 50259]]})"), HasSubstr("forced_decoder_ids"));
  EXPECT_THAT(said(R"({"cache_implementation": "quantized", "cache_config": {"nbits": 4}})"),
              testing::AllOf(HasSubstr("generation_config.json: cache_implementation"), HasSubstr("quantized"),
                             HasSubstr("--no-generation-config")));
  EXPECT_EQ(said(R"({"num_beams": 1, "no_repeat_ngram_size": 0, "typical_p": 1.0, "suppress_tokens": [],
                     "forced_eos_token_id": null, "token_healing": false, "length_penalty": 2.0})"),
            "no error");
}

TEST_F(GenerationConfig, KeysOfTransformersThatChangeNothingAreNotNoted) {
  write(
      "generation_config.json",
      R"({"_commit_hash": "e7da7f2", "_from_model_config": true, "cache_implementation": "hybrid", "max_cache_len": 512,
            "use_mtp": true, "speculation_type": "dflash", "prompt_lookup_num_tokens": 10, "early_stopping": true,
            "renormalize_logits": true, "output_scores": true, "continuous_batching_config": {"a": 1},
            "assistant_ensemble_weight": 0.5, "num_beam_groups": 2, "forced_decoder_ids": null})");
  EXPECT_THAT(read().notes, IsEmpty());
}

TEST_F(GenerationConfig, ValuesThatMakeNoSenseAreRefused) {
  for (const char* json :
       {R"({"do_sample": true, "temperature": 0.0})", R"({"do_sample": true, "top_p": 1.5})",
        R"({"do_sample": true, "top_k": -3})", R"({"do_sample": 1})", R"({"do_sample": true, "temperature": "hot"})",
        R"({"repetition_penalty": 0})", R"({"eos_token_id": "</s>"})", R"({"eos_token_id": -5})",
        R"({"eos_token_id": 45.5})", R"({"eos_token_id": [3, null]})", R"({"max_new_tokens": 0})",
        R"({"stop_strings": [1]})", R"({"num_return_sequences": 0})", R"({"num_return_sequences": 5000})",
        R"({"stop_strings": ["a", ""]})"}) {
    write("generation_config.json", json);
    EXPECT_THAT(error(), HasSubstr("generation_config.json")) << json;
    if (std::string_view(json).find("eos") != std::string_view::npos) continue;
    EXPECT_THAT(error(), HasSubstr("try:      --no-generation-config")) << json;
  }
}

// What many files on the Hub say of draws that are not made.
TEST_F(GenerationConfig, SettingsWithoutEffectNeverRefuse) {
  for (const char* setting : {R"("temperature": 0)", R"("temperature": "hot")", R"("top_p": 1.5)", R"("top_k": -1)",
                              R"("min_p": 7)", R"("typical_p": 0.5)", R"("epsilon_cutoff": 0.1)"}) {
    write("generation_config.json", fmt::format("{{{}}}", setting));
    EXPECT_EQ(error(), "no error") << setting;
    write("generation_config.json", fmt::format(R"({{"do_sample": false, {}}})", setting));
    EXPECT_EQ(error(), "no error") << setting;
    write("generation_config.json", fmt::format(R"({{"do_sample": true, {}}})", setting));
    EXPECT_EQ(error({.do_sample = false}), "no error") << setting << ": --greedy";
    EXPECT_NE(error(), "no error") << setting << ": of draws";
    write("generation_config.json", fmt::format("{{{}}}", setting));
    EXPECT_NE(error({.do_sample = true}), "no error") << setting << ": of draws that the command line asks for";
  }
  write("generation_config.json", R"({"temperature": 0})");
  EXPECT_THAT(read().notes, ElementsAre(HasSubstr("temperature: has no effect here, and would be refused: 0")));
  write("generation_config.json", R"({"temperature": 0.5})");
  EXPECT_THAT(read().notes, IsEmpty());
}

TEST_F(GenerationConfig, WhatTheCommandLineSaysIsNotAskedOfTheFile) {
  write("generation_config.json",
        R"({"do_sample": true, "temperature": 0, "top_k": -1, "top_p": 2, "min_p": -1, "repetition_penalty": 0,
            "max_new_tokens": 0, "max_length": -1, "num_return_sequences": 0, "stop_strings": [""]})");
  EXPECT_NE(error(), "no error");
  const Given all{.temperature = true,
                  .top_k = true,
                  .top_p = true,
                  .min_p = true,
                  .repetition_penalty = true,
                  .max_new_tokens = true,
                  .num_sequences = true,
                  .stop = true};
  EXPECT_EQ(error(all), "no error");
  for (bool Given::*one : {&Given::temperature, &Given::top_k, &Given::top_p, &Given::min_p, &Given::repetition_penalty,
                           &Given::max_new_tokens, &Given::num_sequences, &Given::stop}) {
    Given without = all;
    without.*one = false;
    EXPECT_NE(error(without), "no error") << "one of them decides nothing of the others";
  }
  write("generation_config.json", R"({"do_sample": 1, "max_new_tokens": 4, "max_length": -1})");
  EXPECT_EQ(error({.do_sample = true}), "no error") << "max_new_tokens goes before max_length";
}

TEST_F(GenerationConfig, WhatDependsOnThePromptIsJudgedWithIt) {
  write("generation_config.json", R"({"min_length": 3, "eos_token_id": 7})");
  EXPECT_EQ(error({}, 3), "no error");
  EXPECT_THAT(error({}, 2), testing::AllOf(HasSubstr("generation_config.json: min_length"),
                                           HasSubstr("expected: at most 2, the tokens of the prompt")));
  EXPECT_EQ(error({.ignore_eos = true}, 2), "no error") << "nothing ends the text";
  write("generation_config.json", R"({"min_length": 3, "min_new_tokens": 5, "eos_token_id": null})");
  EXPECT_EQ(error({}, 2), "no error");
  write("generation_config.json", R"({"forced_bos_token_id": 3})");
  EXPECT_EQ(error({}, 2), "no error");
  EXPECT_THAT(error({}, 1), HasSubstr("forced_bos_token_id"));
}

TEST_F(GenerationConfig, ContrastiveSearchNeedsSeveralTokensAndNoDraws) {
  write("generation_config.json", R"({"penalty_alpha": 0.6, "top_k": 4})");
  EXPECT_THAT(error(), HasSubstr("penalty_alpha"));
  EXPECT_EQ(error({.do_sample = true}), "no error");
  write("generation_config.json", R"({"penalty_alpha": 0.6, "top_k": 1})");
  EXPECT_EQ(error(), "no error");
}

TEST_F(GenerationConfig, WholeNumbersMayHaveAFractionOfZero) {
  write("generation_config.json", R"({"eos_token_id": [45.0, 3], "bos_token_id": 2.0, "max_new_tokens": 20.0})");
  EXPECT_THAT(read().options.eos_token_id, ElementsAre(45, 3));
  EXPECT_EQ(read().bos_token_id, 2);
  EXPECT_EQ(read().max_new_tokens, 20);
}

}  // namespace
}  // namespace pkv::generate
