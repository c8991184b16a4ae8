#include "options/option_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "base/error.h"
#include "exit_code.h"
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

// CLI11's own says what is allowed with 309 digits.
CLI::Validator at_least_validator(std::int64_t least) {
  const auto check = [least](const std::string& given) {
    double value = 0;
    if (CLI::detail::lexical_cast(given, value) && value >= static_cast<double>(least)) return std::string();
    return fmt::format("{} is not a number of at least {}", given, least);
  };
  return {check, ""};
}

void add_check(CLI::Option& option, const Check& check) {
  switch (check.kind) {
    case Check::Kind::any:
      return;
    case Check::Kind::one_of:
      option.check(CLI::IsMember(Words(check.choices.begin(), check.choices.end())));
      return;
    case Check::Kind::within:
      option.check(CLI::Range(check.least, check.most));
      return;
    case Check::Kind::at_least:
      option.check(at_least_validator(check.least));
      return;
    case Check::Kind::existing_file:
      option.check(CLI::ExistingFile);
      return;
    case Check::Kind::existing_folder:
      option.check(CLI::ExistingDirectory);
      return;
    case Check::Kind::size:
      option.transform(CLI::AsSizeValue(true))->check(at_least_validator(check.least));
      return;
  }
}

CLI::Option* add_valued(CLI::App& app, const Option& option) {
  const auto read = [target = option.target](const Words& words) { return set(target, words); };
  CLI::Option* added = app.add_option(std::string(option.name), read, std::string(option.help));
  added->type_name(std::string(type_name(option.target)));
  if (is_list(option.target)) {
    added->expected(CLI::detail::expected_max_vector_size);
    if (option.name.starts_with('-')) added->allow_extra_args(false);
    if (option.commas) added->delimiter(',');
    if (option.words != 0) added->expected(option.words)->allow_extra_args();
  }
  if (option.shows_default) added->default_str(shown(option.target));
  return added;
}

void add(CLI::App& app, const Option& option) {
  bool* const* flag = std::get_if<bool*>(&option.target);
  CLI::Option* added = flag != nullptr ? app.add_flag(std::string(option.name), **flag, std::string(option.help))
                                       : add_valued(app, option);
  add_check(*added, option.check);
  if (!option.value.empty()) added->option_text(std::string(option.value));
  if (option.required) added->required();
  for (const std::string_view other : option.excludes) {
    if (!other.empty()) added->excludes(std::string(other));
  }
  for (const std::string_view other : option.needs) {
    if (!other.empty()) added->needs(std::string(other));
  }
}

std::vector<std::string_view> given(const CLI::App& app, const Command& command) {
  std::vector<std::string_view> names;
  for (const Option& option : command.options) {
    const std::string_view last = option.name.substr(option.name.rfind(',') + 1);
    if (app.get_option(std::string(last))->count() > 0) names.push_back(last);
  }
  return names;
}

void set_footer(CLI::App& app, const Command& command) {
  if (!command.first_note) {
    app.footer(footer_of(command));
    return;
  }
  app.footer([&command] {
    std::string text = footer_of(command);
    text.pop_back();  // CLI11 adds a newline to what a call gives
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
    const std::string wrong = command.misuse ? command.misuse(given(app, command)) : "";
    if (!wrong.empty()) throw CLI::ValidationError(wrong);
    chosen = &command;
  });
}

class Wrapped : public CLI::Formatter {
 public:
  Wrapped() { column_width(kFirstColumn); }
  std::string make_option_desc(const CLI::Option* option) const override {
    return in_lines(option->get_description(), width_ - kFirstColumn);
  }

 private:
  static constexpr std::size_t kFirstColumn = 34;
  std::size_t width_ = terminal_width();
};

// CLI11 says of an unknown command only that one is required.
void require_command(const Command& program, int argc, char** argv) {
  std::vector<std::string_view> names;
  for (const Command& command : program.commands) names.push_back(command.name);
  if (argc < 2) {
    fail_usage({.what = "no command given",
                .expected = fmt::format("one of {}", fmt::join(names, ", ")),
                .hint = "pkv --help"});
  }
  const std::string given = argv[1];
  if (given.starts_with("-") || std::ranges::find(names, given) != names.end()) return;
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

int run_chosen(const Command& program, const std::string& version, int argc, char** argv) {
  CLI::App app{std::string(program.help)};
  app.name(std::string(program.name));
  app.set_version_flag("--version", version);
  app.formatter(std::make_shared<Wrapped>());
  const Command* chosen = nullptr;
  fill(app, program, program, chosen);
  require_command(program, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) require_options(app, argc, argv);
    return app.exit(e) == 0 ? holds : bad_usage;
  }
  return chosen->run();
}

}  // namespace pkv::program
