#include "commands/commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "models/find.h"
#include "terminal/width.h"

namespace pkv::program {
namespace {

std::string what_models_are() {
  const std::vector<std::string> names = bundled_names();
  const std::string bundled = names.empty() ? "" : fmt::format(" a bundled model ({}),", fmt::join(names, ", "));
  return in_lines(fmt::format("MODEL is a Hugging Face model folder,{} or a model of the Hugging Face Hub: gpt2, "
                              "organisation/name@revision.",
                              bundled),
                  80);
}

}  // namespace

Command pkv_command() {
  Command pkv{.name = "pkv",
              .help = "pkv: can a language model's past key values be reused?\n",
              .first_note = what_models_are,
              .notes = "Exit codes: 0 the property holds, 1 it does not, 2 usage, 3 cannot load, 4 internal.",
              .examples = {"pkv review                       check all bundled models",
                           "pkv check tiny-gpt2 --text \"I like to eat\"",
                           "pkv check --help                 options of a command"}};
  for (const auto command :
       {check_command, review_command, logits_command, tokenize_command, inspect_command, perplexity_command,
        quantize_command, article_command, generate_command, past_command, bench_command, download_command,
        cache_command, help_command, version_command, completion_command, man_command}) {
    pkv.commands.push_back(command());
  }
  return pkv;
}

}  // namespace pkv::program
