#include <fmt/format.h>

#include "manual/manual.h"

namespace pkv::program {
namespace {

// Letters that troff takes for commands, taken as they are.
std::string plain(std::string_view text) {
  std::string safe;
  bool begins = true;  // a line
  for (const char c : text) {
    if (begins && (c == '.' || c == '\'')) safe += "\\&";
    safe += c == '\\' ? "\\e" : c == '-' ? "\\-" : std::string(1, c);
    begins = c == '\n';
  }
  return safe;
}

// "-o, --output-file FILE"
std::string heading(const Option& option) {
  std::string names;
  for (const char c : option.name) names += c == ',' ? std::string(", ") : std::string(1, c);
  if (!option.also.empty()) names += ", " + std::string(option.also);
  std::string text = fmt::format("\\fB{}\\fR", plain(names));
  const std::string_view type = option.value.empty() ? type_name(option.target) : option.value;
  if (option.name.starts_with('-') && !type.empty()) text += fmt::format(" \\fI{}\\fR", plain(type));
  return text;
}

std::string choices(const Option& option) {
  std::string list;
  for (const std::string_view one : option.check.choices) list.append(list.empty() ? ": " : ", ").append(one);
  return list;
}

// "pkv check [OPTIONS] [MODEL]"
std::string synopsis(const Command& command, const std::string& words) {
  std::string text = fmt::format("\\fB{}\\fR", plain(words));
  if (!command.commands.empty()) return text + " \\fICOMMAND\\fR";
  text += " [\\fIOPTIONS\\fR]";
  for (const Option& option : command.options) {
    if (option.name.starts_with('-')) continue;
    const std::string word =
        fmt::format("\\fI{}\\fR{}", plain(option.name), is_list(option.target) && option.words != 1 ? "..." : "");
    text += option.required ? " " + word : fmt::format(" [{}]", word);
  }
  return text;
}

void add(std::string& page, const Command& command, const std::string& words) {
  page += fmt::format(".SS \"{}\"\n{}\n.PP\n{}{}\n", plain(words), synopsis(command, words), plain(command.help),
                      command.help.ends_with('?') ? "" : ".");
  for (const Option& option : command.options) {
    page += fmt::format(".TP\n{}\n{}{}\n", heading(option), plain(option.help), plain(choices(option)));
  }
  if (!command.notes.empty()) page += fmt::format(".PP\n{}\n", plain(command.notes));
  if (!command.examples.empty()) page += ".PP\n.nf\n";
  for (const std::string_view example : command.examples) page += fmt::format("    {}\n", plain(example));
  if (!command.examples.empty()) page += ".fi\n";
  for (const Command& one : command.commands) add(page, one, words + " " + std::string(one.name));
}

}  // namespace

std::string man_page(const Command& program, std::string_view version) {
  std::string page = fmt::format(
      ".\\\" Written by `pkv man`.\n.TH PKV 1 \"\" \"{}\" \"User Commands\"\n"
      ".SH NAME\npkv \\- can a language model's past key values be reused?\n"
      ".SH SYNOPSIS\n\\fBpkv\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n"
      ".SH DESCRIPTION\nFeeds a language model a text at once, and in pieces with the keys and values of what came "
      "before, "
      "and compares the logits: on its own engine, or on runs recorded from another program.\n.PP\n"
      "\\fIMODEL\\fR is a Hugging Face model folder, a bundled model, or a model of the Hugging Face Hub.\n"
      ".SH COMMANDS\n",
      plain(version));
  for (const Command& command : program.commands) add(page, command, "pkv " + std::string(command.name));
  return page +
         ".SH EXIT STATUS\n.TP\n0\nthe property holds\n.TP\n1\nit does not hold\n.TP\n2\nthe command line makes no "
         "sense\n"
         ".TP\n3\nsomething cannot be read or written\n.TP\n4\npkv itself is at fault\n";
}

}  // namespace pkv::program
