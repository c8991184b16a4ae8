// Every file of tests/cli/cases is a test, run under each instruction set. PKV_APPROVE=1 writes what pkv prints now
// into the file instead: look at the change with git diff before you commit it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ranges>
#include <string>
#include <vector>

#include "engine/kernels/cpu/instruction_set.h"
#include "support/places.h"
#include "support/transcript.h"

namespace pkv::support {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(source() / "tests/cli/cases")) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
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
  const std::string file = "tests/cli/cases/" + GetParam() + ".txt";
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
                           << "  PKV_APPROVE=1 ./dev test -R 'Cli.*/" << GetParam() << "'";
}

INSTANTIATE_TEST_SUITE_P(Cases, Cli, testing::ValuesIn(cases()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace pkv::support
