#include "files/hf/tokenizer_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "support/places.h"

namespace pkv::hf {
namespace {

// Room text may not see the list, so its sources are read: whatever file they name is one that is fetched and hashed.
TEST(TokenizerFiles, AreThoseThatRoomTextNames) {
  const std::regex name(R"re("([a-z_]+\.(json|txt|model))")re");
  std::set<std::string> named;
  for (const auto& entry : std::filesystem::directory_iterator(support::source() / "src/text")) {
    if (entry.path().extension() != ".cc") continue;
    std::ifstream file(entry.path());
    const std::string source{std::istreambuf_iterator<char>(file), {}};
    for (std::sregex_iterator at(source.begin(), source.end(), name), end; at != end; ++at) named.insert((*at)[1]);
  }
  named.erase("config.json");
  EXPECT_THAT(named, testing::UnorderedElementsAreArray(kTokenizerFiles));
}

}  // namespace
}  // namespace pkv::hf
