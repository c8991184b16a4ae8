// pkv: can a language model's past key values be reused? Reads the command line, runs one command, speaks once about
// what went wrong, and answers with an exit code.
#include <fmt/format.h>

#include <csignal>
#include <exception>
#include <new>

#include "base/error.h"
#include "commands/commands.h"
#include "exit_code.h"
#include "options/option_set.h"
#include "terminal/progress.h"
#include "terminal/say.h"
#include "version.h"

namespace {

using namespace pkv::program;

int end(int code, std::string_view why) {
  clear_progress();
  say(for_terminal_of_stderr(fmt::format("pkv: {}\n", why)));
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error when writing, not a silent death
  try {
    return run_chosen(pkv_command(), version_line(), argc, argv);
  } catch (const pkv::Error& e) {
    return end(code_of(e.kind()), e.what());
  } catch (const std::bad_alloc&) {
    return end(cannot_load, "not enough memory\n  try:      a shorter text or a smaller model");
  } catch (const std::exception& e) {
    return end(internal_error, fmt::format("internal error: {}", e.what()));
  }
}
