#include "options/output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "show/columns.h"
#include "terminal/progress.h"
#include "terminal/say.h"
#include "terminal/width.h"

namespace pkv::program {

std::string_view name_of(Form form) {
  static constexpr std::array<std::string_view, 7> kNames{"table", "text", "json", "csv", "md", "html", "junit"};
  return kNames[static_cast<std::size_t>(form)];
}

void OutputOptions::declare(Command& command, const std::vector<Form>& forms) {
  for (const Form one : forms) choices.push_back(name_of(one));
  command.add(
      {{.name = "--output",
        .target = &form,
        .help = "form of the result (default: as the file's name says, else the first)",
        .check = one_of(choices)},
       {.name = "-o,--output-file", .target = &file, .help = "write the result to this file instead of stdout"}});
  command.before.emplace_back([this] {
    chosen();
    require_writable(file);
  });
}

std::string_view OutputOptions::chosen() const {
  using Ending = std::pair<std::string_view, Form>;
  static constexpr Ending kEndings[] = {{".json", Form::json},  {".csv", Form::csv},  {".md", Form::md},
                                        {".html", Form::html},  {".htm", Form::html}, {".xml", Form::junit},
                                        {".markdown", Form::md}};
  if (!form.empty() || choices.empty()) return form;
  const std::string ending = std::filesystem::path(file).extension();
  const auto* found = std::ranges::find(kEndings, ending, &Ending::first);
  if (found == std::end(kEndings)) return choices.front();
  const std::string_view name = name_of(found->second);
  if (std::ranges::find(choices, name) != choices.end()) return name;
  fail_usage(
      {.what = fmt::format("this command does not write {}", name),
       .where = file,
       .expected = fmt::format("a name that ends otherwise, or --output with one of {}", fmt::join(choices, ", ")),
       .found = ending});
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

// A terminal's; anybody else takes lines apart by himself, unless $COLUMNS says how he wants them.
static int most_columns(const OutputOptions& output) {
  const bool narrow = output.file.empty() && (isatty(STDOUT_FILENO) != 0 || std::getenv("COLUMNS") != nullptr);
  return narrow ? static_cast<int>(terminal_width()) : std::numeric_limits<int>::max();
}

std::string OutputOptions::line(std::string_view name, const std::string& value) const {
  constexpr int kName = 15;
  return show::wrapped(show::pad_right(name, kName), value, most_columns(*this));
}

bool OutputOptions::fits(std::string_view line) const { return show::columns_of(line) <= most_columns(*this); }

std::string OutputOptions::table(const std::vector<std::vector<std::string>>& rows,
                                 const std::vector<bool>& left) const {
  const int room = most_columns(*this);
  std::string text;
  for (const auto& band : show::bands(rows, room)) {
    std::vector<std::vector<std::string>> some;
    std::vector<bool> left_of_some;
    for (const auto& row : rows) {
      auto& one = some.emplace_back();
      for (const std::size_t i : band) one.push_back(show::shortened(row[i], room));
    }
    for (const std::size_t i : band) left_of_some.push_back(left[i]);
    text += (text.empty() ? "" : "\n") + show::aligned(some, 0, left_of_some, {}, room);
  }
  return text;
}

// As a program ends that does not ask to be told of it.
[[noreturn]] static void end_without_reader() {
  std::signal(SIGPIPE, SIG_DFL);
  std::raise(SIGPIPE);
  std::_Exit(128 + SIGPIPE);
}

bool OutputOptions::colour() const {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::strcmp(terminal, "dumb") == 0;
  return file.empty() && (no_colour == nullptr || *no_colour == '\0') && !dumb && isatty(STDOUT_FILENO) != 0;
}

void OutputOptions::write(std::string_view text, std::string_view verdict) const {
  if (!file.empty()) {
    write_file(file, text);
    clear_progress();
    if (!verdict.empty()) say(fmt::format("{}\n", verdict));
    note(fmt::format("written to {}", file));
    return;
  }
  clear_progress();
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    if (errno == EPIPE) end_without_reader();
    fail_load({.what = fmt::format("cannot write: {}", std::strerror(errno)), .where = "stdout"});
  }
}

}  // namespace pkv::program
