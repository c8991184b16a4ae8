// What the tests of the rooms in files/ share: a folder of their own, the text of an error, safetensors files made by
// hand.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "support/places.h"

namespace pkv {

inline const std::filesystem::path kData = support::source() / "tests/unit/files/data";

// The error's text; a failure of the test when it is no load error, "no error" when there is none.
std::string error_of(const auto& body, Error::Kind kind = Error::Kind::load) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    return e.what();
  }
  return "no error";
}

// Without write_file's care for crashes, which costs milliseconds a file.
inline void put(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::remove(path);
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.flush());
}

// A folder that is empty at the start of each test and gone at its end.
class InFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  const testing::TestInfo& info_ = *testing::UnitTest::GetInstance()->current_test_info();
  std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) /
                                  (std::string("pkv_hf_") + info_.test_suite_name() + "_" + info_.name());
};

inline std::string length_bytes(std::uint64_t n) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(n >> (8 * i) & 0xff);
  return bytes;
}

inline std::string safetensors_bytes(std::string_view header, std::string_view data = {}) {
  return length_bytes(header.size()) + std::string(header) + std::string(data);
}

}  // namespace pkv
