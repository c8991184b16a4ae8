#include "options/option.h"

#include <algorithm>

namespace pkv::program {

Command& Command::add(const Option& option) {
  options.push_back(option);
  return *this;
}

Command& Command::add(std::initializer_list<Option> more) {
  options.insert(options.end(), more.begin(), more.end());
  return *this;
}

Option& Command::option(std::string_view name_of_it) { return *std::ranges::find(options, name_of_it, &Option::name); }

void Command::remove(std::string_view name_of_it) {
  options.erase(std::ranges::find(options, name_of_it, &Option::name));
}

std::string footer_of(const Command& command) {
  std::string text;
  if (command.first_note) text.append("\n").append(command.first_note()).append("\n");
  if (!command.notes.empty()) text.append("\n").append(command.notes).append("\n");
  if (!command.examples.empty()) text += command.examples.size() == 1 ? "\nExample:\n" : "\nExamples:\n";
  for (const std::string_view example : command.examples) text.append("  ").append(example).append("\n");
  return text;
}

std::string_view type_name(const Target& target) {
  // In the order of Target's alternatives.
  static constexpr std::array<std::string_view, std::variant_size_v<Target>> kNames{
      "", "TEXT", "TEXT", "INT", "INT", "INT", "UINT", "UINT", "FLOAT", "FLOAT", "FLOAT", "TEXT", "INT", "INT"};
  return kNames[target.index()];
}

bool is_list(const Target& target) {
  return std::holds_alternative<std::vector<std::string>*>(target) ||
         std::holds_alternative<std::vector<std::int64_t>*>(target) ||
         std::holds_alternative<std::optional<std::vector<std::int64_t>>*>(target);
}

}  // namespace pkv::program
