// Reports of tests, handed to validate.py, which must find them to be what they promise to be.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "support/places.h"

namespace pkv::support {

// `files`: text by name; the ending of a name says what it must be.
inline void expect_valid(const std::map<std::string, std::string>& files) {
  // Of this test alone: others run at the same time.
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  const auto folder = std::filesystem::path(testing::TempDir()) / "reports" / test.test_suite_name() / test.name();
  std::filesystem::create_directories(folder);
  std::string command = source() / "tests/support/validate.py";
  for (const auto& [name, text] : files) {
    std::ofstream(folder / name, std::ios::binary) << text;
    command += " " + (folder / name).string();
  }
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  if (!testing::Test::HasFailure()) std::filesystem::remove_all(folder);
}

}  // namespace pkv::support
