// Commands that the documentation shows in its ```sh blocks.
#include <regex>
#include <set>

#include "house/checks.h"
#include "house/reading.h"
#include "support/shell.h"

namespace pkv::house {
namespace {

namespace fs = std::filesystem;
using support::read;

struct Command {
  int line;
  std::string text;
};

// The lines of shell blocks, those that end in a backslash joined to the next, a leading "$ " taken off.
std::vector<Command> commands_of(const std::string& document) {
  static const std::regex open(R"(\s*```(sh|bash|shell|console)\b.*)");
  static const std::regex close(R"(\s*```\s*)");
  static const std::regex prompt(R"(^\s*(\$ )?)");
  std::vector<Command> commands;
  bool inside = false, joined = false;
  int number = 0;
  for (const std::string& line : lines_of(document)) {
    ++number;
    if (!inside || std::regex_match(line, close)) {
      inside = std::regex_match(line, open);
      joined = false;
      continue;
    }
    std::string text = std::regex_replace(line, prompt, "");
    const bool more = text.ends_with("\\");
    if (more) text.pop_back();
    if (joined) {
      commands.back().text += text;
    } else {
      commands.push_back({number, text});
    }
    joined = more;
  }
  return commands;
}

std::set<std::string> verbs_of(const std::string& help) {
  static const std::regex pattern(R"(  ([a-z]+)\b.*)");
  std::set<std::string> verbs;
  for (const std::string& line : lines_of(help)) {
    std::smatch m;
    if (std::regex_match(line, m, pattern)) verbs.insert(m[1]);
  }
  return verbs;
}

}  // namespace

Findings unknown_verbs(const fs::path& root) {
  static const std::regex pattern(R"(\./dev(?:\s+(\S+))?.*)");
  const std::set<std::string> verbs = verbs_of(support::Shell(root, "/bin/false").run("./dev help").out);
  Findings findings;
  for (const std::string& file : documents(root)) {
    for (const Command& command : commands_of(read(root / file))) {
      std::smatch m;
      if (!std::regex_match(command.text, m, pattern) || !m[1].matched || verbs.contains(m[1])) continue;
      findings.push_back({file, command.line, "./dev help lists no verb " + m[1].str()});
    }
  }
  return findings;
}

Findings failing_commands(const fs::path& root, const fs::path& program) {
  static const std::regex pattern(R"((pkv|(\./)?build/release/pkv)(\s.*)?)");
  const support::Shell shell(root, program);
  Findings findings;
  for (const Command& command : commands_of(read(root / "README.md"))) {
    if (!std::regex_match(command.text, pattern)) continue;
    const support::Ran ran = shell.run(command.text);
    if (ran.status == 0 || ran.status == 1) continue;
    findings.push_back({"README.md", command.line,
                        "`" + command.text + "` exits with " + std::to_string(ran.status) + "\n" + ran.out + ran.err});
  }
  return findings;
}

}  // namespace pkv::house
