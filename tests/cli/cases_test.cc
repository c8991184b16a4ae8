// Every file of tests/cli/cases is a test. PKV_APPROVE=1 writes what pkv prints now into the file instead: look at the
// change with git diff before you commit it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/transcript.h"

namespace pkv::support {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(PKV_SOURCE_DIR "/tests/cli/cases")) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Cli : public testing::TestWithParam<std::string> {};

TEST_P(Cli, PrintsWhatWasApproved) {
  const std::string file = "tests/cli/cases/" + GetParam() + ".txt";
  const fs::path path = fs::path(PKV_SOURCE_DIR) / file;
  const Shell shell(PKV_SOURCE_DIR, PKV_PROGRAM);
  const std::string approved = read(path);
  ASSERT_TRUE(approved.starts_with("$ ") || approved.find("\n$ ") != std::string::npos) << file << " runs no command";
  const std::string now = replay(approved, shell);
  const char* approve = std::getenv("PKV_APPROVE");
  if (approve != nullptr && std::string(approve) == "1") {
    if (now != approved) std::ofstream(path, std::ios::binary) << now;
    return;
  }
  EXPECT_EQ(approved, now) << file << " differs from what the program prints now. If now is right:\n"
                           << "  PKV_APPROVE=1 ./dev test -R 'Cli.*/" << GetParam() << "'";
}

INSTANTIATE_TEST_SUITE_P(Cases, Cli, testing::ValuesIn(cases()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace pkv::support
