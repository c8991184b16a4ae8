// pkv version: which pkv this is, what it computes with here, and what was compiled into it. pkv help: see
// options/option_set.cc.
#include "version.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "base/json_writer.h"
#include "base/pool.h"
#include "commands/commands.h"
#include "engine/kernels/cpu/instruction_set.h"
#include "engine/model/architectures.h"
#include "exit_code.h"
#include "options/output.h"
#include "show/columns.h"
#include "show/environment.h"
#include "show/html/pieces.h"

namespace pkv::program {
namespace {

std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const model::Architecture& one : model::architectures()) {
    names.insert(names.end(), one.model_types.begin(), one.model_types.end());
  }
  return names;
}

std::string as_text(const show::Terminal& terminal) {
  std::string text = version_line() + "\n";
  const auto line = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) text += show::wrapped(show::pad_right(std::string(name) + ":", 15), value, terminal.columns);
  };
  const show::Environment here = show::environment("");
  line("computes with", fmt::format("{} (there are {})", kernels::cpu::instruction_set(),
                                    fmt::join(kernels::cpu::instruction_sets(), ", ")));
  line("models", fmt::format("{}", fmt::join(families(), ", ")));
  line("charts", show::html::draws_charts() ? "drawn by Vega" : "none: built without Vega");
  line("compiler", here.compiler);
  line("processor", here.processor);
  line("system", here.system);
  return text;
}

std::string as_json() {
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-version/1");
  json.member("version", PKV_VERSION);
  json.member("commit", commit());
  json.member("instruction_set", kernels::cpu::instruction_set());
  json.member("instruction_sets", kernels::cpu::instruction_sets());
  json.member("model_types", families());
  json.member("charts", show::html::draws_charts());
  json.member("compiler", show::environment("").compiler);
  json.close_object();
  return json.text() + "\n";
}

int run(const OutputOptions& output) {
  output.write(output.is(Form::json) ? as_json() : as_text(output.terminal()));
  return holds;
}

}  // namespace

std::string version_line() {
  return commit().empty() ? "pkv " PKV_VERSION : fmt::format("pkv " PKV_VERSION " ({})", commit());
}

Command version_command() {
  auto o = std::make_shared<OutputOptions>();
  Command command{.name = "version",
                  .help = "Which pkv this is: commit, instruction sets, what it was built with",
                  .examples = {"pkv version", "pkv version --output json"},
                  .run = [o] { return run(*o); }};
  o->declare(command, {Form::table, Form::json});
  return command;
}

Command help_command() {
  auto of = std::make_shared<std::vector<std::string>>();
  Command command{.name = "help",
                  .help = "What pkv can do, or what a command takes",
                  .examples = {"pkv help", "pkv help check", "pkv help past save"},
                  .run = [of] { return static_cast<int>(holds); }};
  command.add({.name = "COMMAND", .target = of.get(), .help = "a command"});
  return command;
}

}  // namespace pkv::program
