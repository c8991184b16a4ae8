#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "manual/manual.h"

namespace pkv::program {
namespace {

using Names = std::vector<std::string>;

// "-o", "--output-file", and what it was once called.
Names spellings(const Option& option) {
  Names names;
  for (std::string_view rest = option.name; !rest.empty();) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    names.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  if (!option.also.empty()) names.emplace_back(option.also);
  return names;
}

bool by_place(const Option& option) { return !option.name.starts_with('-'); }
bool is_flag(const Option& option) { return std::holds_alternative<bool*>(option.target); }
bool wants_model(const Option& option) { return option.name == "MODEL"; }
bool has_choices(const Option& option) { return option.check.kind == Check::Kind::one_of; }
std::string choices_of(const Option& option) { return fmt::format("{}", fmt::join(option.check.choices, " ")); }

// A value that is a name in the file system; so is a MODEL, which may also be something else.
bool wants_file(const Option& option) {
  using Kind = Check::Kind;
  const Kind kind = option.check.kind;
  return kind == Kind::existing_file || kind == Kind::existing_folder || kind == Kind::readable ||
         wants_model(option) || option.name.ends_with("-file") || option.name.ends_with("-dir") ||
         option.name == "--svg" || option.name == "PAST";
}

const Option* word_by_place(const Command& command) {
  const auto found = std::ranges::find_if(command.options, by_place);
  return found == command.options.end() ? nullptr : &*found;
}

// Each command with the words that call it, without the program's name: "past save".
void for_each_command(const Command& command, const std::string& words, const auto& see) {
  see(command, words);
  for (const Command& one : command.commands) {
    for_each_command(one, words.empty() ? std::string(one.name) : words + " " + std::string(one.name), see);
  }
}

Names command_names(const std::vector<Command>& commands) {
  Names names;
  for (const Command& one : commands) names.emplace_back(one.name);
  return names;
}

// Within single quotes of a shell; `doubled`: characters that want a backslash besides.
std::string in_quotes(std::string_view text, std::string_view doubled = {}) {
  std::string all = "'";
  for (const char c : text) {
    if (doubled.find(c) != std::string_view::npos) all += '\\';
    all += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return all + "'";
}

// The help's first clause: lists of a shell have room for no more.
std::string_view brief(std::string_view help) {
  return help.substr(0, std::min(help.find_first_of(";("), help.size()));
}

std::string first_clause(std::string_view help) {
  std::string text(brief(help));
  while (text.ends_with(' ') || text.ends_with(':')) text.pop_back();
  return text;
}

Names options_of(const Command& command) {
  Names all{"--help"};
  for (const Option& option : command.options) {
    if (by_place(option)) continue;
    for (std::string& name : spellings(option)) all.push_back(std::move(name));
  }
  return all;
}

std::string bash_values(const Option& option) {
  const std::string names = fmt::format("{}", fmt::join(spellings(option), "|"));
  if (has_choices(option)) return fmt::format("        {}) words='{}'; files= ;;\n", names, choices_of(option));
  return fmt::format("        {}) words=; files={} ;;\n", names, wants_file(option) ? "yes" : "");
}

std::string bash_case(const Command& command, const std::string& called, std::span<const std::string> models) {
  Names words = command.commands.empty() ? options_of(command) : command_names(command.commands);
  const Option* placed = word_by_place(command);
  if (placed != nullptr && wants_model(*placed)) words.insert(words.end(), models.begin(), models.end());
  if (placed != nullptr && has_choices(*placed)) {
    words.insert(words.end(), placed->check.choices.begin(), placed->check.choices.end());
  }
  const bool files = placed != nullptr && wants_file(*placed);
  std::string text =
      fmt::format("    '{}')\n      words='{}'; files={}\n", called, fmt::join(words, " "), files ? "yes" : "");
  std::string values;
  for (const Option& option : command.options) {
    if (!by_place(option) && !is_flag(option)) values += bash_values(option);
  }
  if (!values.empty()) text += "      case \"$before\" in\n" + values + "      esac\n";
  return text + "      ;;\n";
}

std::string zsh_option(const Option& option) {
  const Names names = spellings(option);
  const std::string help = fmt::format("[{}]", first_clause(option.help));
  std::string value;
  if (!is_flag(option)) {
    value = has_choices(option)
                ? fmt::format(":value:({})", choices_of(option))
                : fmt::format(":{}:{}", wants_file(option) ? "file" : "value", wants_file(option) ? "_files" : "");
  }
  std::string all;
  for (const std::string& name : names) {
    const std::string others = names.size() > 1 ? fmt::format("({})", fmt::join(names, " ")) : "";
    all += fmt::format(" \\\n      {}", in_quotes(others + name + help + value));
  }
  return all;
}

std::string zsh_words(const Option& option) {
  const std::string many = is_list(option.target) ? "*" : "";
  if (wants_model(option)) {
    return fmt::format(" \\\n      {}", in_quotes(fmt::format("{}:MODEL:_pkv_models", many)));
  }
  const std::string values = has_choices(option)  ? fmt::format("({})", choices_of(option))
                             : wants_file(option) ? "_files"
                                                  : "";
  return fmt::format(" \\\n      {}", in_quotes(fmt::format("{}:{}:{}", many, option.name, values)));
}

std::string zsh_function(const std::string& called) {
  std::string name = "_pkv";
  for (const char c : called.empty() ? "" : " " + called) name += c == ' ' ? '_' : c;
  return name;
}

std::string zsh_group(const Command& command, const std::string& called) {
  std::string text = "  local -a commands=(\n";
  for (const Command& one : command.commands) {
    text += fmt::format("    {}\n", in_quotes(fmt::format("{}:{}", one.name, first_clause(one.help))));
  }
  text += "  )\n  local state\n  _arguments -C '--help[help]' '1: :->command' '*:: :->rest'\n";
  text += "  case $state in\n    command) _describe command commands ;;\n    rest)\n      case $words[1] in\n";
  for (const Command& one : command.commands) {
    const std::string more = called.empty() ? std::string(one.name) : called + " " + std::string(one.name);
    text += fmt::format("        {}) {} ;;\n", one.name, zsh_function(more));
  }
  return text + "      esac ;;\n  esac\n";
}

std::string zsh_command(const Command& command) {
  std::string text = "  _arguments \\\n      '--help[help]'";
  for (const Option& option : command.options) text += by_place(option) ? zsh_words(option) : zsh_option(option);
  return text + "\n";
}

std::string fish_condition(const std::string& called) {
  std::string condition;
  for (std::size_t from = 0; from < called.size();) {
    const std::size_t to = std::min(called.find(' ', from), called.size());
    condition += fmt::format("{}__fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ",
                             called.substr(from, to - from));
    from = to + 1;
  }
  return condition.empty() ? "__fish_use_subcommand" : condition;
}

std::string fish_option(const Option& option, const std::string& condition) {
  std::string text = fmt::format("complete -c pkv -n {}", in_quotes(condition));
  for (const std::string& name : spellings(option)) {
    text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!is_flag(option)) text += wants_file(option) ? " -r -F" : " -x";
  if (has_choices(option)) text += fmt::format(" -a {}", in_quotes(choices_of(option)));
  return text + fmt::format(" -d {}\n", in_quotes(first_clause(option.help)));
}

}  // namespace

std::string bash_completion(const Command& program, std::span<const std::string> models) {
  std::string calls, cases;
  for_each_command(program, "", [&](const Command& command, const std::string& called) {
    if (!called.empty()) calls += fmt::format("{}'{}'", calls.empty() ? "" : "|", called);
    cases += bash_case(command, called, models);
  });
  return "# What bash completes for pkv. Written by `pkv completion bash`.\n"
         "_pkv() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} called= words= files= i more\n"
         "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
         "    more=\"${called:+$called }${COMP_WORDS[i]}\"\n"
         "    case \"$more\" in\n      " +
         calls +
         ") called=$more ;;\n"
         "    esac\n"
         "  done\n"
         "  case \"$called\" in\n" +
         cases +
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "  [[ -n $files && $word != -* ]] && COMPREPLY+=($(compgen -f -- \"$word\"))\n"
         "  return 0\n"
         "}\n"
         "complete -o filenames -F _pkv pkv\n";
}

std::string zsh_completion(const Command& program, std::span<const std::string> models) {
  std::string text = "#compdef pkv\n# What zsh completes for pkv. Written by `pkv completion zsh`.\n";
  text += fmt::format("_pkv_models() {{\n  _alternative 'bundled:bundled model:({})' 'files:folder:_files'\n}}\n",
                      fmt::join(models, " "));
  for_each_command(program, "", [&](const Command& command, const std::string& called) {
    text += fmt::format("{}() {{\n{}}}\n", zsh_function(called),
                        command.commands.empty() ? zsh_command(command) : zsh_group(command, called));
  });
  return text + "compdef _pkv pkv\n";
}

std::string fish_completion(const Command& program, std::span<const std::string> models) {
  std::string text = "# What fish completes for pkv. Written by `pkv completion fish`.\n";
  for_each_command(program, "", [&](const Command& command, const std::string& called) {
    const std::string condition = fish_condition(called);
    for (const Command& one : command.commands) {
      std::string here = condition;
      if (!called.empty()) {
        here +=
            fmt::format("; and not __fish_seen_subcommand_from {}", fmt::join(command_names(command.commands), " "));
      }
      text += fmt::format("complete -c pkv -f -n {} -a {} -d {}\n", in_quotes(here), one.name,
                          in_quotes(first_clause(one.help)));
    }
    for (const Option& option : command.options) {
      if (!by_place(option)) {
        text += fish_option(option, condition);
      } else if (has_choices(option)) {
        text += fmt::format("complete -c pkv -f -n {} -a {}\n", in_quotes(condition), in_quotes(choices_of(option)));
      }
      if (wants_model(option) && !models.empty()) {
        text += fmt::format("complete -c pkv -n {} -a {}\n", in_quotes(condition),
                            in_quotes(fmt::format("{}", fmt::join(models, " "))));
      }
    }
  });
  return text;
}

}  // namespace pkv::program
