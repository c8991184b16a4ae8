#include "engine/model/card.h"

#include <gtest/gtest.h>

#include "support/models.h"

namespace pkv::model {
namespace {

TEST(Card, PositionsAreShownAsTheyAlwaysWere) {
  EXPECT_EQ(positions_text({}), "none");
  EXPECT_EQ(positions_text({.positions = Positions::learned}), "learned");
  EXPECT_EQ(positions_text({.padding = 1, .positions = Positions::learned, .first_position = 2}),
            "learned, from the padding index");
  EXPECT_EQ(positions_text({.positions = Positions::rotary, .rotary_theta = 10000}), "rotary, theta 10000");
  EXPECT_EQ(positions_text({.positions = Positions::alibi}), "ALiBi");
}

TEST(Card, EveryFamilySaysWhatOthersDecideBy) {
  for (const auto& folder : support::model_folders(support::golden_data())) {
    const hf::Folder opened = hf::Folder::open(folder);
    const Card card = inspect(opened).card;
    EXPECT_TRUE(card.positions != Positions::none || card.layers_with_keys() == 0) << folder;
    EXPECT_EQ(card.positions == Positions::rotary, card.rotary_theta > 0) << folder;
    EXPECT_TRUE(card.positions != Positions::learned || card.context_is_hard) << folder;
    EXPECT_EQ(card.causal, support::causal(folder)) << folder;
    EXPECT_EQ(architecture_of(opened.config()).family, card.family) << folder;
  }
}

}  // namespace
}  // namespace pkv::model
