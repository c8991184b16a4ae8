// This repository keeps the rules of the house.
#include <gtest/gtest.h>

#include "house/checks.h"
#include "support/places.h"

namespace pkv::house {
namespace {

const std::filesystem::path kRoot = support::source();

TEST(House, RoomListIsInOrder) { EXPECT_EQ(listed(broken_room_list(kRoot)), ""); }
TEST(House, EveryRoomIsTold) { EXPECT_EQ(listed(rooms_not_told(kRoot)), ""); }
TEST(House, RoomsUseOnlyWhatTheyMay) { EXPECT_EQ(listed(forbidden_includes(kRoot)), ""); }
TEST(House, HeadersSayWhatTheyAreFor) { EXPECT_EQ(listed(headers_without_opening(kRoot)), ""); }
TEST(House, OnlyItsPageNamesAnArchitecture) { EXPECT_EQ(listed(architecture_names(kRoot)), ""); }
TEST(House, LinksLeadSomewhere) { EXPECT_EQ(listed(broken_links(kRoot)), ""); }
TEST(House, DevHasTheVerbsThatTheDocumentsUse) { EXPECT_EQ(listed(unknown_verbs(kRoot)), ""); }
TEST(House, ReadmeCommandsRun) { EXPECT_EQ(listed(failing_commands(kRoot, support::program())), ""); }

}  // namespace
}  // namespace pkv::house
