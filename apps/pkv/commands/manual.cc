// pkv completion and pkv man: the commands' data for shells and for man.
#include "manual/manual.h"

#include <memory>

#include "commands/commands.h"
#include "exit_code.h"
#include "models/find.h"
#include "options/output.h"

namespace pkv::program {
namespace {

constexpr std::string_view kShells[] = {"bash", "zsh", "fish"};

int complete(const std::string& shell) {
  const auto script = shell == "bash" ? bash_completion : shell == "zsh" ? zsh_completion : fish_completion;
  OutputOptions().write(script(pkv_command(), bundled_names()));
  return holds;
}

}  // namespace

Command completion_command() {
  auto shell = std::make_shared<std::string>();
  Command command{.name = "completion",
                  .help = "Print what a shell needs to complete pkv's words",
                  .examples = {"pkv completion bash > ~/.local/share/bash-completion/completions/pkv",
                               "pkv completion zsh > ~/.zfunc/_pkv    # and fpath+=~/.zfunc, before compinit",
                               "pkv completion fish > ~/.config/fish/completions/pkv.fish"},
                  .run = [shell] { return complete(*shell); }};
  command.add(
      {.name = "SHELL", .target = shell.get(), .help = "the shell", .check = one_of(kShells), .required = true});
  return command;
}

Command man_command() {
  return {.name = "man", .help = "Print the man page", .examples = {"pkv man | man -l -"}, .run = [] {
            OutputOptions().write(man_page(pkv_command(), "pkv " PKV_VERSION));
            return static_cast<int>(holds);
          }};
}

}  // namespace pkv::program
