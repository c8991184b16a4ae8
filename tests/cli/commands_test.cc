// The commands as data: what a man page or a shell's completion will be made of, without running anything.
#include "commands/commands.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "engine/model/formats.h"
#include "options/engine.h"

namespace pkv::program {
namespace {

// Each command with the words that call it: "pkv past save".
void for_each_command(const Command& command, const std::string& words,
                      const std::function<void(const Command&, const std::string&)>& see) {
  see(command, words);
  for (const Command& one : command.commands) for_each_command(one, words + " " + std::string(one.name), see);
}

TEST(Commands, AreGroupsOrRunAndShowExamples) {
  std::set<std::string> all;
  for_each_command(pkv_command(), "pkv", [&](const Command& command, const std::string& words) {
    SCOPED_TRACE(words);
    EXPECT_TRUE(all.insert(words).second) << "is there twice";
    EXPECT_FALSE(command.help.empty());
    EXPECT_NE(command.commands.empty(), !command.run) << "a command either has commands or runs";
    EXPECT_TRUE(!command.run || !command.examples.empty());
    for (const std::string_view example : command.examples) EXPECT_TRUE(example.starts_with("pkv ")) << example;
  });
  EXPECT_TRUE(all.contains("pkv check"));
  EXPECT_TRUE(all.contains("pkv past save"));
}

TEST(Commands, NameEachOptionOnceAndOnlyOptionsThatAreThere) {
  for_each_command(pkv_command(), "pkv", [&](const Command& command, const std::string& words) {
    std::set<std::string_view> names;
    for (const Option& option : command.options) {
      SCOPED_TRACE(words + " " + std::string(option.name));
      EXPECT_TRUE(names.insert(option.name).second) << "is there twice";
      EXPECT_FALSE(option.help.empty());
      for (const std::string_view other : {option.excludes[0], option.excludes[1], option.needs[0], option.needs[1]}) {
        EXPECT_TRUE(other.empty() || names.contains(other)) << other << " is not declared before";
      }
      EXPECT_TRUE(option.check.kind != Check::Kind::one_of || !option.check.choices.empty());
    }
  });
}

TEST(Commands, SayOfAnOptionWhatItsValueIs) {
  const Command check = check_command();
  const auto option = [&](std::string_view name) { return *std::ranges::find(check.options, name, &Option::name); };
  EXPECT_EQ(type_name(option("--no-special-tokens").target), "");
  EXPECT_EQ(type_name(option("--text").target), "TEXT");
  EXPECT_EQ(type_name(option("--block-size").target), "INT");
  EXPECT_EQ(type_name(option("--int8-threshold").target), "FLOAT");
  EXPECT_TRUE(is_list(option("--skip").target));
  EXPECT_FALSE(is_list(option("--text").target));
  const auto choices = option("--load-in").check.choices;
  EXPECT_EQ(std::vector<std::string_view>(choices.begin(), choices.end()),
            (std::vector<std::string_view>{"fp32", "fp16", "bf16", "int8", "fp4", "nf4"}));
}

TEST(EngineOptions, BecomeLoadOptions) {
  const model::LoadOptions stored = EngineOptions().load_options();
  EXPECT_FALSE(stored.dtype || stored.past_dtype || stored.quantize || stored.decode || stored.int8_threshold);
  EXPECT_FALSE(stored.int8_outliers_of_call);

  EngineOptions floats;
  floats.load_in = "bf16";
  floats.past_dtype = "fp16";
  const model::LoadOptions decoded = floats.load_options();
  EXPECT_EQ(decoded.dtype, DType::bf16);
  EXPECT_EQ(decoded.past_dtype, DType::f16);
  EXPECT_TRUE(decoded.decode);

  EngineOptions four;
  four.load_in = "nf4";
  four.dtype = "fp16";
  four.double_quant = true;
  four.block_size = 128;
  four.skip = {"h.0"};
  const model::LoadOptions quantised = four.load_options();
  ASSERT_TRUE(quantised.quantize);
  EXPECT_EQ(quantised.quantize->format, quant::Format::nf4);
  EXPECT_EQ(quantised.dtype, DType::f16);
  EXPECT_TRUE(quantised.quantize->nested);
  EXPECT_EQ(quantised.quantize->block, 128);
  EXPECT_EQ(quantised.quantize->skip, std::vector<std::string>{"h.0"});
  EXPECT_FALSE(quantised.decode);

  EngineOptions eight;
  eight.load_in = "int8";
  eight.int8_threshold = 4.0f;
  eight.int8_outliers = "call";
  EXPECT_EQ(eight.load_options().int8_threshold, 4.0f);
  EXPECT_TRUE(eight.load_options().int8_outliers_of_call);
}

TEST(EngineOptions, ThatContradictEachOtherAreRefused) {
  const auto said = [](const EngineOptions& options) -> std::string {
    try {
      options.load_options();
    } catch (const Error& e) {
      return e.text().what;
    }
    return "nothing";
  };
  EngineOptions two;
  two.load_in = "fp16";
  two.dtype = "bf16";
  EXPECT_EQ(said(two), "--load-in and --dtype contradict each other");
  two.dtype = "fp16";
  EXPECT_EQ(said(two), "nothing");
  EngineOptions block;
  block.block_size = 64;
  block.load_in = "int8";
  EXPECT_EQ(said(block), "--block-size has no meaning here");
  EngineOptions skip;
  skip.skip = {"h.0"};
  EXPECT_EQ(said(skip), "--skip has no meaning here");
}

}  // namespace
}  // namespace pkv::program
