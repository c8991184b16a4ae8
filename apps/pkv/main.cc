// pkv: can a language model's past key values be reused? Reads the command line, runs one command, speaks once about
// what went wrong, and answers with an exit code.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "base/error.h"
#include "program.h"

namespace {

using namespace pkv;
using namespace pkv::program;

int end(int code, std::string_view why) {
  clear_progress();
  say(fmt::format("pkv: {}\n", why));
  return code;
}

int run(const Action& action) {
  try {
    return action();
  } catch (const Error& e) {
    return end(code_of(e.kind()), e.what());
  } catch (const std::bad_alloc&) {
    return end(cannot_load, "not enough memory\n  try:      a shorter text or a smaller model");
  } catch (const std::exception& e) {
    return end(internal_error, fmt::format("internal error: {}", e.what()));
  }
}

// CLI11 says of an unknown command only that one is required.
void require_command(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  if (argc < 2)
    fail_usage({.what = "no command given",
                .expected = fmt::format("one of {}", fmt::join(names, ", ")),
                .hint = "pkv --help"});
  const std::string given = argv[1];
  if (given.starts_with("-") || std::find(names.begin(), names.end(), given) != names.end()) return;
  fail_usage({.what = "no such command",
              .expected = fmt::format("one of {}", fmt::join(names, ", ")),
              .found = given,
              .hint = "pkv --help"});
}

// Of an unknown option with a value CLI11 says only that there is one argument too many.
void require_options(const CLI::App& app, int argc, char** argv) {
  const CLI::App* command = &app;
  std::string name = "pkv";
  for (int i = 1; i < argc; ++i) {
    const std::string given = argv[i];
    if (given == "--") return;
    if (!given.starts_with("--")) {
      for (const CLI::App* next : command->get_subcommands({})) {
        if (next->get_name() != given) continue;
        command = next;
        name += " " + given;
        break;
      }
      continue;
    }
    const std::string option = given.substr(0, given.find('='));
    const CLI::Option* known = command->get_option_no_throw(option);
    if (known == nullptr) fail_usage({.what = "no such option", .found = option, .hint = name + " --help"});
    if (known->get_items_expected_max() > 0 && option == given) ++i;  // its value, which may begin with dashes
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error when writing, not a silent death
  CLI::App app{"pkv: can a language model's past key values be reused?\n"};
  app.name("pkv");
  app.set_version_flag("--version", "pkv " PKV_VERSION);
  app.require_subcommand(1);
  app.formatter(help_formatter());
  app.footer(
      "\nMODEL is a Hugging Face model folder, a bundled model (tiny-gpt2, tiny-roberta,\n"
      "tiny-mpt, tiny-falcon), or a model of the Hugging Face Hub: gpt2,\norganisation/name@revision.\n\n"
      "Exit codes: 0 the property holds, 1 it does not, 2 usage, 3 cannot load, 4 internal.\n\n"
      "Examples:\n"
      "  pkv review                       check all bundled models\n"
      "  pkv check tiny-gpt2 --text \"I like to eat\"\n"
      "  pkv check --help                 options of a command\n");
  Action action;
  add_check(app, action);
  add_review(app, action);
  add_logits(app, action);
  add_tokenize(app, action);
  add_inspect(app, action);
  add_perplexity(app, action);
  add_quantize(app, action);
  add_article(app, action);
  add_generate(app, action);
  add_past(app, action);
  add_bench(app, action);
  add_download(app, action);
  add_cache(app, action);
  return run([&] {
    require_command(app, argc, argv);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
      if (e.get_exit_code() != 0) require_options(app, argc, argv);
      return app.exit(e) == 0 ? static_cast<int>(holds) : static_cast<int>(bad_usage);
    }
    return action();
  });
}
