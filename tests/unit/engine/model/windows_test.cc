// Pasts of layers that see a window: what no window reaches is released, and forks, rewinds and files keep what they
// promise all the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/model/cost.h"
#include "engine/model/past_file.h"
#include "support/models.h"

namespace pkv::model {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr std::int64_t kTokens = 900;

class Windows : public testing::TestWithParam<const char*> {
 protected:
  Windows() {
    ids_ = support::random_ids(5, kTokens, model_.card().vocab);
    Past past = model_.new_past();
    all_ = support::feed(model_, past, ids_);
  }

  std::span<const std::int32_t> text() const { return ids_; }

  Past fed(std::int64_t tokens) const {
    Past past = model_.new_past();
    for (std::int64_t at = 0; at < tokens; at += 130) {
      support::feed(model_, past, text().subspan(at, std::min<std::int64_t>(130, tokens - at)));
    }
    return past;
  }

  // What comes after `past` has the bits that it has in one piece.
  void goes_on(Past& past, const char* how) const {
    const std::int64_t at = past.length(), n = std::min<std::int64_t>(20, kTokens - at);
    const auto got = support::feed(model_, past, text().subspan(at, n));
    const auto first = all_.begin() + at * model_.card().vocab;
    EXPECT_TRUE(std::equal(got.begin(), got.end(), first)) << how << ", at " << at;
    EXPECT_EQ(past.length(), at + n);
  }

  const Model model_ = support::load(support::golden_data() / GetParam(), "cpu", 1);
  Ids ids_;
  std::vector<float> all_;
};

TEST_P(Windows, MemoryStopsGrowing) {
  const std::int64_t layers = model_.card().layers;
  const auto windowed = std::ranges::count_if(model_.card().windows, [](std::int64_t w) { return w > 0; });
  const std::size_t part = model_.past_shape().block_bytes() / static_cast<std::size_t>(layers);
  const std::size_t early = fed(500).bytes(), late = fed(884).bytes();  // 6 blocks later
  EXPECT_EQ(late - early, 6 * part * static_cast<std::size_t>(layers - windowed));
  EXPECT_GT(fed(884).held_from(), 0);
}

TEST_P(Windows, RewindsToAnywhere) {
  for (const std::int64_t to : {879, 860, 640, 639, 400, 64, 1, 0}) {
    Past past = fed(880), fork = past.fork();
    fork.truncate(to);
    EXPECT_EQ(fork.length(), to);
    EXPECT_EQ(fork.must_feed_again(), to > 0 && to + 1 - past.shape().widest() < past.held_from());
    Past second = fork.fork();
    goes_on(fork, "rewound");
    goes_on(second, "a fork of one that was rewound");
    goes_on(past, "beside a fork that was rewound");
    fork.truncate(std::min<std::int64_t>(to, 3));
    goes_on(fork, "rewound twice");
  }
}

TEST_P(Windows, ForksGoTheirOwnWay) {
  Past past = fed(700), fork = past.fork();
  support::feed(model_, fork, support::random_ids(9, 500, model_.card().vocab));
  goes_on(past, "beside a fork that has released what this one needs");
  fork.truncate(700);
  goes_on(fork, "back where it forked");
}

TEST_P(Windows, FilesHoldWhatThePastHeld) {
  const auto file = std::filesystem::path(testing::TempDir()) / (std::string(GetParam()) + ".past.safetensors");
  Past past = fed(880);
  save_past(file, model_, past);
  EXPECT_EQ(open_past(file).held_from, past.held_from());
  for (const std::int64_t common : {880, 879, 700, 300, 2}) {
    Ids prompt(ids_.begin(), ids_.begin() + common);
    prompt.push_back(ids_[static_cast<std::size_t>(common)]);
    Restored restored = restore_past(file, model_, prompt);
    EXPECT_EQ(restored.past.length(), common);
    goes_on(restored.past, "restored");
  }
  past.truncate(20);  // nothing of what windows reach there is left
  ASSERT_TRUE(past.must_feed_again());
  save_past(file, model_, past);
  Restored restored = restore_past(file, model_, text().first(21));
  goes_on(restored.past, "saved after a rewind");
  std::filesystem::remove(file);
}

TEST_P(Windows, CostCountsWhatIsRead) {
  const Cost cost = cost_of(model_);
  const std::int64_t widest = model_.past_shape().widest();
  const double token = static_cast<double>(model_.past_shape().part_bytes() / 64 * 2);
  const auto windowed =
      static_cast<double>(std::ranges::count_if(model_.card().windows, [](std::int64_t w) { return w > 0; }));
  const double others = static_cast<double>(model_.card().layers) - windowed;
  EXPECT_EQ(cost.step_bytes(1000) - cost.step_bytes(0),
            token * (others * 1000 + windowed * static_cast<double>(widest - 1)));
  double sum = 0;  // of a call's tokens one by one
  for (std::int64_t i = 0; i < 100; ++i) sum += cost.call_fmas(i, 1);
  EXPECT_NEAR(cost.call_fmas(0, 100), sum, 1e-9 * sum);
}

INSTANTIATE_TEST_SUITE_P(Models, Windows,
                         testing::Values("mistral-window", "mistral-window-over-blocks", "gemma3-pattern-2",
                                         "cohere2-windows"),
                         [](const auto& test) { return support::test_name(std::string(test.param)); });

}  // namespace
}  // namespace pkv::model
