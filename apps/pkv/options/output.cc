#include "options/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "terminal/progress.h"
#include "terminal/width.h"

namespace pkv::program {

std::string_view name_of(Form form) {
  static constexpr std::array<std::string_view, 7> kNames{"table", "text", "json", "csv", "md", "html", "junit"};
  return kNames[static_cast<std::size_t>(form)];
}

void OutputOptions::declare(Command& command, const std::vector<Form>& forms) {
  for (const Form one : forms) choices.push_back(name_of(one));
  form = choices.front();
  command.add({{.name = "--output",
                .target = &form,
                .help = "form of the result",
                .check = one_of(choices),
                .shows_default = true},
               {.name = "--output-file", .target = &file, .help = "write the result to this file instead of stdout"}});
}

void OutputOptions::declare_verbose(Command& command, std::string_view rest_of_it) {
  rest = rest_of_it;
  command.add(
      {.name = "-v,--verbose", .target = &verbose, .help = "tell a terminal everything, not only what matters"});
}

show::Terminal OutputOptions::terminal() const {
  return {.colour = colour(),
          .columns = file.empty() ? static_cast<int>(terminal_width()) : show::Terminal().columns,
          .rest = verbose ? "" : std::string(rest)};
}

bool OutputOptions::colour() const {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::strcmp(terminal, "dumb") == 0;
  return file.empty() && (no_colour == nullptr || *no_colour == '\0') && !dumb && isatty(STDOUT_FILENO) != 0;
}

void OutputOptions::write(std::string_view text) const {
  if (!file.empty()) {
    write_file(file, text);
    return;
  }
  clear_progress();
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail_load({.what = fmt::format("cannot write: {}", std::strerror(errno)), .where = "stdout"});
  }
}

}  // namespace pkv::program
