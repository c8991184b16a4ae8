#include "options/other_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pkv::program {
namespace {

struct Word {
  std::string_view theirs, ours;
};

constexpr auto kCommands = std::to_array<Word>({{"benchmark", "bench"},
                                                {"chat", "generate"},
                                                {"compare", "check --recorded"},
                                                {"complete", "generate"},
                                                {"convert", "quantize"},
                                                {"encode", "tokenize"},
                                                {"eval", "perplexity"},
                                                {"info", "inspect"},
                                                {"list", "cache list"},
                                                {"ls", "cache list"},
                                                {"ppl", "perplexity"},
                                                {"pull", "download"},
                                                {"quantise", "quantize"},
                                                {"rm", "cache remove"},
                                                {"run", "generate"},
                                                {"show", "inspect"},
                                                {"test", "check"},
                                                {"validate", "check"},
                                                {"verify", "check"}});

// Of several rows for a word the first holds whose option the command has.
constexpr auto kOptions = std::to_array<Word>({{"--batch-size", "--num-sequences"},
                                               {"--cache-type-k", "--past-dtype"},
                                               {"--ctk", "--past-dtype"},
                                               {"--file", "--text-file"},
                                               {"--format", "--output"},
                                               {"--json", "--output json"},
                                               {"--kv-cache-dtype", "--past-dtype"},
                                               {"--load-in-4bit", "--load-in nf4"},
                                               {"--load-in-8bit", "--load-in int8"},
                                               {"--load_in_4bit", "--load-in nf4"},
                                               {"--load_in_8bit", "--load-in int8"},
                                               {"--max-tokens", "--new-tokens"},
                                               {"--model", "MODEL"},
                                               {"--n-gen", "--new-tokens"},
                                               {"--n-predict", "--new-tokens"},
                                               {"--n-prompt", "--prompt-tokens"},
                                               {"--prompt", "--text"},
                                               {"--quantization", "--load-in"},
                                               {"--quiet", "-o FILE"},
                                               {"--torch-dtype", "--dtype"},
                                               {"--torch_dtype", "--dtype"},
                                               {"-f", "--text-file"},
                                               {"-i", "--text-file"},
                                               {"-m", "MODEL"},
                                               {"-n", "--new-tokens"},
                                               {"-p", "--prompt-tokens"},
                                               {"-p", "--text"},
                                               {"-r", "--repetitions"},
                                               {"-s", "--seed"},
                                               {"-t", "--threads"}});

bool has(const Command& command, std::string_view name) {
  return std::ranges::any_of(command.options, [&](const Option& option) {
    for (std::string_view rest = option.name; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (rest.substr(0, comma) == name) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return false;
  });
}

}  // namespace

std::string command_elsewhere(std::string_view word) {
  const auto* found = std::ranges::find(kCommands, word, &Word::theirs);
  return found == kCommands.end() ? "" : fmt::format("here that is pkv {}", found->ours);
}

std::string option_elsewhere(std::string_view word, const Command& command) {
  for (const Word& one : kOptions) {
    if (one.theirs != word || !has(command, one.ours.substr(0, one.ours.find(' ')))) continue;
    if (one.ours == "MODEL") return fmt::format("a MODEL goes without an option: pkv {} tiny-gpt2", command.name);
    return fmt::format("here that is {}", one.ours);
  }
  return "";
}

}  // namespace pkv::program
