// This repository keeps the rules of the house.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "house/checks.h"

namespace pkv::house {
namespace {

using ::testing::IsEmpty;

const std::filesystem::path kRoot = PKV_SOURCE_DIR;

TEST(House, RoomListIsInOrder) { EXPECT_THAT(broken_room_list(kRoot), IsEmpty()); }
TEST(House, RoomsUseOnlyWhatTheyMay) { EXPECT_THAT(forbidden_includes(kRoot), IsEmpty()); }
TEST(House, HeadersSayWhatTheyAreFor) { EXPECT_THAT(headers_without_opening(kRoot), IsEmpty()); }
TEST(House, OnlyItsPageNamesAnArchitecture) { EXPECT_THAT(architecture_names(kRoot), IsEmpty()); }
TEST(House, LinksLeadSomewhere) { EXPECT_THAT(broken_links(kRoot), IsEmpty()); }
TEST(House, DevHasTheVerbsThatTheDocumentsUse) { EXPECT_THAT(unknown_verbs(kRoot), IsEmpty()); }
TEST(House, ReadmeCommandsRun) { EXPECT_THAT(failing_commands(kRoot, PKV_PROGRAM), IsEmpty()); }

}  // namespace
}  // namespace pkv::house
