// Every file of tests/cli/cases is a test, run under each instruction set. PKV_APPROVE=1 writes what pkv prints now
// into the file instead: look at the change with git diff before you commit it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ranges>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/kernels/cpu/instruction_set.h"
#include "support/places.h"
#include "support/transcript.h"

namespace pkv::support {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAlike = "_alike";

// Whether a command computes with the table that PKV_ISA chooses for: as approved, it succeeds and says nothing else.
bool depends_on_the_set(const std::string& command, int status) {
  static const std::regex call(R"(\bpkv( +-*[a-z]+)?([^|;&]*))");
  static const std::set<std::string> computes_nothing = {"tokenize", "inspect", "help",     "version",
                                                         "man",      "cache",   "download", "completion"};
  if (status > 1) return false;
  return std::any_of(
      std::sregex_iterator(command.begin(), command.end(), call), std::sregex_iterator(), [](const std::smatch& m) {
        const std::string verb = m[1].str(), rest = m[2];
        return rest.find("--backend naive") == rest.npos && rest.find("--backend cuda-model") == rest.npos &&
               rest.find(" help") == rest.npos && rest.find("--recorded") == rest.npos &&
               !computes_nothing.contains(verb.substr(verb.find_last_of(' ') + 1));
      });
}

bool depends_on_the_set(const fs::path& approved) {
  std::string command;
  bool depends = false;
  std::ifstream file(approved);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("$ ")) command = line;
    if (line.starts_with("? ")) depends |= depends_on_the_set(command, std::stoi(line.substr(2)));
  }
  return depends || command.empty();
}

// Named NAME_alike where nothing depends on the instruction set: to compute that again under another shows nothing.
std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(source() / "tests/cli/cases")) {
    if (entry.path().extension() != ".txt") continue;
    names.push_back(entry.path().stem().string() + std::string(depends_on_the_set(entry.path()) ? "" : kAlike));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string stem_of(std::string name) {
  if (name.ends_with(kAlike)) name.resize(name.size() - kAlike.size());
  return name;
}

class Cli : public testing::TestWithParam<std::string> {};

bool approving() {
  const char* wanted = std::getenv("PKV_APPROVE");
  return wanted != nullptr && std::string(wanted) == "1";
}

// Where no set of this machine is the one whose digits are approved, its best approves the rest.
bool approves(const std::string& set) {
  const auto& sets = kernels::cpu::instruction_sets();
  return set == (std::ranges::find(sets, kApprovedSet) == sets.end() ? sets.front() : kApprovedSet);
}

TEST_P(Cli, PrintsWhatWasApproved) {
  const std::string set = kernels::cpu::instruction_set();
  if (approving() && !approves(set)) GTEST_SKIP() << set << " approves nothing";
  const std::string stem = stem_of(GetParam()), file = "tests/cli/cases/" + stem + ".txt";
  const fs::path path = source() / file;
  const Shell shell(source(), program());
  const std::string approved = read(path);
  ASSERT_TRUE(approved.starts_with("$ ") || approved.find("\n$ ") != std::string::npos) << file << " runs no command";
  std::string now = replay(approved, shell);
  if (set != kApprovedSet) now = settled(approved, now);
  if (approving()) {
    if (now != approved) std::ofstream(path, std::ios::binary) << now;
    return;
  }
  EXPECT_EQ(approved, now) << file << " differs from what the program prints now. If now is right:\n"
                           << "  PKV_APPROVE=1 ./dev test -R 'Cli.*/" << stem << "'";
}

INSTANTIATE_TEST_SUITE_P(Cases, Cli, testing::ValuesIn(cases()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace pkv::support
