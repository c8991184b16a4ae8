#include "options/option_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <memory>
#include <sstream>

#include "base/error.h"
#include "base/nearest.h"
#include "exit_code.h"
#include "options/other_words.h"
#include "terminal/width.h"

namespace pkv::program {
namespace {

using Words = std::vector<std::string>;

// As CLI11 reads numbers: an empty word is 0, "0x10" is 16.
template <class T>
bool read(const std::string& word, T& value) {
  if (!word.empty()) return CLI::detail::lexical_cast(word, value);
  value = T();
  return true;
}
bool read(const std::string& word, std::string& value) {
  value = word;
  return true;
}
template <class T>
bool read(const std::string& word, std::optional<T>& value) {
  if (word.empty() && !std::is_same_v<T, std::string>) {
    value.reset();
    return true;
  }
  T given{};
  if (!read(word, given)) return false;
  value = given;
  return true;
}

template <class T>
bool read(const Words& words, T& value) {
  return read(words[0], value);
}
template <class T>
bool read(const Words& words, std::vector<T>& values) {
  values.assign(words.size(), T());
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!read(words[i], values[i])) return false;
  }
  return !values.empty();
}
template <class T>
bool read(const Words& words, std::optional<std::vector<T>>& values) {
  return read(words, values.emplace());
}

bool set(const Target& target, const Words& words) {
  return std::visit([&](auto* value) { return read(words, *value); }, target);
}

std::string shown(const Target& target) {
  if (const auto* text = std::get_if<std::string*>(&target)) return **text;
  if (const auto* number = std::get_if<std::int64_t*>(&target)) return fmt::format("{}", **number);
  return fmt::format("{}", *std::get<double*>(target));
}

// The name that is shown of several: "--output-file" of "-o,--output-file".
std::string_view long_name(const Option& option) { return option.name.substr(option.name.rfind(',') + 1); }

// Says what is wrong with a word given to `option`.
[[noreturn]] void refuse(const Option& option, std::string what, std::string expected, const std::string& found,
                         std::string hint = {}) {
  fail_usage({.what = std::move(what),
              .where = std::string(long_name(option)),
              .expected = std::move(expected),
              .found = found.empty() ? "\"\"" : found,
              .hint = std::move(hint)});
}

void require_one_of(const Option& option, std::string& word) {
  const Check& check = option.check;
  for (const auto& [other, choice] : check.spellings) {
    if (word == other) word = choice;
  }
  if (std::ranges::find(check.choices, word) != check.choices.end()) return;
  refuse(option, "no such value", fmt::format("one of {}", fmt::join(check.choices, ", ")), word,
         did_you_mean(word, check.choices));
}

void require_number(const Option& option, const std::string& word, double least, double most,
                    const std::string& expected) {
  double value = 0;
  if (!CLI::detail::lexical_cast(word, value)) return refuse(option, "not a number", expected, word);
  if (!(value >= least && value <= most)) refuse(option, "out of range", expected, word);
}

void require_file(const Option& option, const std::string& word, bool folder) {
  std::error_code error;
  const auto status = std::filesystem::status(word, error);
  const char* expected = folder ? "a folder" : "a file";
  if (!exists(status)) refuse(option, folder ? "no such folder" : "no such file", expected, word);
  if (is_directory(status) != folder) refuse(option, folder ? "is a file" : "is a folder", expected, word);
}

void read_size(const Option& option, std::string& word) {
  constexpr const char* kExpected = "a number of bytes from 1 on: 500MB, 5GB, 2GiB";
  const std::string given = word;
  try {
    CLI::AsSizeValue(true)(word);
  } catch (const CLI::ParseError&) {
    refuse(option, "not a size", kExpected, given);
  }
  require_number(option, word, static_cast<double>(option.check.least), HUGE_VAL, kExpected);
}

// As CLI11 shows it behind the option's type.
std::string check_text(const Check& check) {
  switch (check.kind) {
    case Check::Kind::one_of:
      return fmt::format("{{{}}}", fmt::join(check.choices, ","));
    case Check::Kind::within:
      return fmt::format("in [{} - {}]", check.least, check.most);
    case Check::Kind::existing_file:
    case Check::Kind::readable:
      return "FILE";
    case Check::Kind::existing_folder:
      return "DIR";
    default:
      return "";
  }
}

void require(const Option& option, std::string& word) {
  const Check& check = option.check;
  switch (check.kind) {
    case Check::Kind::any:
      return;
    case Check::Kind::one_of:
      return require_one_of(option, word);
    case Check::Kind::within:
      return require_number(option, word, static_cast<double>(check.least), static_cast<double>(check.most),
                            fmt::format("{} to {}", check.least, check.most));
    case Check::Kind::at_least:
      return require_number(option, word, static_cast<double>(check.least), HUGE_VAL,
                            fmt::format("a number of at least {}", check.least));
    case Check::Kind::readable:
      if (word == "-") return;
      return require_file(option, word, false);
    case Check::Kind::existing_file:
      return require_file(option, word, false);
    case Check::Kind::existing_folder:
      return require_file(option, word, true);
    case Check::Kind::size:
      return read_size(option, word);
  }
}

// What a word must be, for people.
std::string_view kind_of_value(const Target& target) {
  const std::string_view type = type_name(target);
  return type == "FLOAT" ? "a number" : type == "UINT" ? "a whole number from 0 on" : "a whole number";
}

CLI::Option* add_valued(CLI::App& app, const Option& option, const std::string& names) {
  const auto read = [&option](const Words& words) {
    if (!set(option.target, words)) {
      refuse(option, "not what the option takes", std::string(kind_of_value(option.target)),
             fmt::format("{}", fmt::join(words, " ")));
    }
    return true;
  };
  CLI::Option* added = app.add_option(names, read, std::string(option.help));
  added->type_name(std::string(type_name(option.target)));
  if (is_list(option.target)) {
    added->expected(CLI::detail::expected_max_vector_size);
    if (option.name.starts_with('-')) added->allow_extra_args(false);
    if (option.commas) added->delimiter(',');
    if (option.words != 0) added->expected(option.words)->allow_extra_args();
  }
  if (option.shows_default) added->default_str(shown(option.target));
  if (!option.otherwise.empty()) added->default_str(std::string(option.otherwise));
  return added;
}

void add(CLI::App& app, const Option& option) {
  const std::string names = std::string(option.name) + (option.also.empty() ? "" : "," + std::string(option.also));
  bool* const* flag = std::get_if<bool*>(&option.target);
  CLI::Option* added =
      flag != nullptr ? app.add_flag(names, **flag, std::string(option.help)) : add_valued(app, option, names);
  if (option.check.kind != Check::Kind::any) {
    const auto check = [&option](std::string& word) {
      require(option, word);
      return std::string();
    };
    added->transform(CLI::Validator(check, check_text(option.check), ""));
  }
  if (!option.value.empty()) added->option_text(std::string(option.value));
  if (option.required) added->required();
  for (const std::string_view other : option.excludes) {
    if (!other.empty()) added->excludes(std::string(other));
  }
  for (const std::string_view other : option.needs) {
    if (!other.empty()) added->needs(std::string(other));
  }
}

CLI::Option& known(CLI::App& app, const Option& option) { return *app.get_option(std::string(long_name(option))); }

std::vector<std::string_view> given(CLI::App& app, const Command& command) {
  std::vector<std::string_view> names;
  for (const Option& option : command.options) {
    if (known(app, option).count() > 0) names.push_back(long_name(option));
  }
  return names;
}

// Paragraphs broken anew where a line is too long; examples, which are indented, stay as they are.
std::string for_width(const std::string& text, std::size_t width) {
  std::string all, paragraph;
  const auto end_paragraph = [&] {
    if (!paragraph.empty()) all += in_lines(paragraph, width) + "\n";
    paragraph.clear();
  };
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.starts_with("  ") || line.ends_with(":")) {
      end_paragraph();
      all += line + "\n";
    } else {
      paragraph += line + " ";
    }
  }
  end_paragraph();
  return all;
}

void set_footer(CLI::App& app, const Command& command) {
  app.footer([&command] {
    std::string text = for_width(footer_of(command), terminal_width());
    if (!text.empty()) text.pop_back();  // CLI11 adds a newline to what a call gives
    return text;
  });
}

// `chosen` becomes the command that the words choose. A group without notes and examples ends its help as the command
// that it is part of, `around`.
void fill(CLI::App& app, const Command& command, const Command& around, const Command*& chosen) {
  set_footer(app, command.notes.empty() && command.examples.empty() ? around : command);
  for (const Option& option : command.options) add(app, option);
  for (const Command& one : command.commands) {
    fill(*app.add_subcommand(std::string(one.name), std::string(one.help)), one, command, chosen);
  }
  if (!command.commands.empty()) {
    app.require_subcommand(1);
    return;
  }
  app.callback([&app, &command, &chosen] {
    if (command.misuse) command.misuse(given(app, command));
    for (const auto& one : command.before) one();
    chosen = &command;
  });
}

class Wrapped : public CLI::Formatter {
 public:
  Wrapped() { column_width(first_column()); }
  std::string make_option_desc(const CLI::Option* option) const override {
    return in_lines(option->get_description(), width_ - first_column());
  }
  std::string make_description(const CLI::App* app) const override {
    const std::string text = app->get_description();
    return in_lines(text, width_) + (text.ends_with('\n') ? "\n\n" : "\n");
  }
  std::string make_subcommand(const CLI::App* sub) const override {
    const std::size_t column = width_ < 70 ? 6 : 14;
    std::string text = "  " + sub->get_name();
    text += text.size() < column ? std::string(column - text.size(), ' ') : "\n" + std::string(column, ' ');
    for (const char c : in_lines(sub->get_description(), width_ - column)) {
      text += c;
      if (c == '\n') text += std::string(column, ' ');
    }
    return text + "\n";
  }

 private:
  // Where there is little room, what an option does stands below it.
  std::size_t first_column() const { return width_ < 70 ? 6 : 34; }

  std::size_t width_ = terminal_width();
};

std::vector<std::string_view> names_of(const std::vector<Command>& commands) {
  std::vector<std::string_view> names;
  for (const Command& command : commands) names.push_back(command.name);
  return names;
}

// A command and the words that call it.
struct Called {
  const Command* command;
  CLI::App* app;
  std::string words;
  int next;  // the first argument that is none of them
};

Called called(const Command& program, CLI::App& app, int argc, char** argv) {
  Called at{&program, &app, std::string(program.name), 1};
  for (; at.next < argc && !at.command->commands.empty(); ++at.next) {
    const auto found = std::ranges::find(at.command->commands, std::string_view(argv[at.next]), &Command::name);
    if (found == at.command->commands.end()) break;
    at.command = &*found;
    at.app = at.app->get_subcommand(argv[at.next]);
    at.words += " " + std::string(found->name);
  }
  return at;
}

// CLI11 says of an unknown command only that one is required.
void require_command(const Called& at, int argc, char** argv) {
  if (at.command->commands.empty()) return;
  const std::string given = at.next < argc ? argv[at.next] : "";
  if (given.starts_with("-") && given != "-") return;
  const auto names = names_of(at.command->commands);
  const bool of_pkv = at.app->get_parent() == nullptr;
  std::string meant = of_pkv ? command_elsewhere(given) : "";
  if (meant.empty()) meant = did_you_mean(given, names);
  fail_usage({.what = given.empty() ? "no command given" : "no such command",
              .where = at.app->get_parent() == nullptr ? "" : at.words,
              .expected = fmt::format("one of {}", fmt::join(names, ", ")),
              .found = given,
              .hint = meant.empty() ? at.words + " --help" : meant});
}

std::vector<std::string_view> names_of(const Command& command) {
  std::vector<std::string_view> names{"--help"};
  for (const Option& option : command.options) {
    if (option.name.starts_with('-')) names.push_back(long_name(option));
    if (!option.also.empty()) names.push_back(option.also);
  }
  return names;
}

bool is_option(std::string_view word) {
  return word.size() > 1 && word[0] == '-' &&
         (word[1] == '-' || std::isalpha(static_cast<unsigned char>(word[1])) != 0);
}

// Of an unknown option with a value CLI11 says only that there is one argument too many.
void require_options(const Called& at, int argc, char** argv) {
  for (int i = at.next; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--") return;
    if (!is_option(word)) continue;
    const std::string name = word.starts_with("--") ? word.substr(0, word.find('=')) : word.substr(0, 2);
    const CLI::Option* option = at.app->get_option_no_throw(name);
    if (option == nullptr) {
      const auto names = names_of(*at.command);
      std::string meant = option_elsewhere(name, *at.command);
      if (meant.empty()) meant = did_you_mean(name, names);
      fail_usage({.what = "no such option",
                  .where = at.app->get_parent() == nullptr ? "" : at.words,
                  .found = name,
                  .hint = meant.empty() ? at.words + " --help" : meant});
    }
    if (option->get_items_expected_max() > 0 && word == name) ++i;  // its value, which may begin with dashes
  }
}

std::string example_of(const Called& at) {
  return at.command->examples.empty() ? at.words + " --help" : std::string(at.command->examples.front());
}

void require_fitting(const Called& at, const Option& option) {
  const auto count = [&](std::string_view name) { return at.app->get_option(std::string(name))->count(); };
  if (known(*at.app, option).count() == 0) {
    if (!option.required) return;
    fail_usage({.what = fmt::format("{} is missing", long_name(option)),
                .where = at.words,
                .expected = std::string(option.help),
                .hint = example_of(at)});
  }
  for (const std::string_view other : option.excludes) {
    if (other.empty() || count(other) == 0) continue;
    fail_usage({.what = fmt::format("{} and {} cannot be given together", other, long_name(option)),
                .where = at.words,
                .hint = "one of them"});
  }
  for (const std::string_view other : option.needs) {
    if (other.empty() || count(other) > 0) continue;
    fail_usage({.what = fmt::format("{} has no meaning without {}", long_name(option), other), .where = at.words});
  }
}

// A word that is known by its place and has none: very likely a text.
[[noreturn]] void refuse_extra(const Called& at, const std::string& word) {
  const auto named = [](std::string_view name) { return [name](const Option& o) { return o.name == name; }; };
  const bool takes_text = std::ranges::any_of(at.command->options, named("--text"));
  fail_usage({.what = "a word too many",
              .where = at.words,
              .found = word,
              .hint = takes_text ? fmt::format("--text \"{}\", if that is the text", word) : example_of(at)});
}

// What CLI11 found wrong, in the program's words.
[[noreturn]] void explain(const Called& at, const CLI::ParseError& e) {
  for (const Option& option : at.command->options) require_fitting(at, option);
  for (const Option& option : at.command->options) {
    const CLI::Option& found = known(*at.app, option);
    const Words words = found.results();
    const auto most = static_cast<std::size_t>(found.get_items_expected_max());
    if (option.name.starts_with('-') || words.size() <= most) continue;
    refuse_extra(at, words[most]);
  }
  if (const Words extra = at.app->remaining(); !extra.empty()) refuse_extra(at, extra.front());
  for (const Option& option : at.command->options) {
    const CLI::Option& found = known(*at.app, option);
    if (std::string(e.what()).find(std::string(long_name(option)) + ":") != 0) continue;
    fail_usage({.what = "needs a value",
                .where = std::string(long_name(option)),
                .expected = option.words > 1 ? fmt::format("{} words: {}", option.words, option.help)
                                             : std::string(option.help),
                .found = found.results().empty() ? "nothing" : fmt::format("{}", fmt::join(found.results(), " "))});
  }
  fail_usage({.what = e.what(), .where = at.words, .hint = at.words + " --help"});
}

// "pkv help check" is "pkv check --help", "pkv help" is "pkv --help".
std::vector<char*> rewritten(int argc, char** argv) {
  static char help[] = "--help", version[] = "--version";
  std::vector<char*> words(argv, argv + argc);
  if (argc < 2) return words;
  const std::string_view first = argv[1];
  if (first == "help" && (argc < 3 || std::string_view(argv[2]) != "--help")) {
    words.erase(words.begin() + 1);
    words.push_back(help);
  } else if (argc == 2 && (first == "-V" || first == "-v")) {
    words[1] = version;
  }
  return words;
}

}  // namespace

int run_chosen(const Command& program, const std::string& version, int given_argc, char** given_argv) {
  std::vector<char*> words = rewritten(given_argc, given_argv);
  const int argc = static_cast<int>(words.size());
  char** argv = words.data();
  CLI::App app{std::string(program.help)};
  app.name(std::string(program.name));
  app.set_version_flag("-V,--version", version);
  app.formatter(std::make_shared<Wrapped>());
  const Command* chosen = nullptr;
  fill(app, program, program, chosen);
  const Called at = called(program, app, argc, argv);
  require_command(at, argc, argv);
  require_options(at, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) explain(at, e);
    return app.exit(e) == 0 ? holds : bad_usage;
  }
  return chosen->run();
}

}  // namespace pkv::program
