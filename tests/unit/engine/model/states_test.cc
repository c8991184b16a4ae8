// Pasts of layers that keep a state: which snapshots there are, that going back to anywhere gives the bits of having
// stopped there, in memory, in forks and from files, and that a forward that fails changes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "engine/model/cost.h"
#include "engine/model/past_file.h"
#include "support/far_table.h"
#include "support/models.h"

namespace pkv::model {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;
using Lengths = std::vector<std::int64_t>;

constexpr std::int64_t kTokens = 200, kEvery = 32;

class States : public testing::TestWithParam<const char*> {
 protected:
  States() {
    ids_ = support::random_ids(5, kTokens, model_.card().vocab);
    Past past = whole_.new_past();
    all_ = support::feed(whole_, past, ids_);
  }

  std::span<const std::int32_t> text() const { return ids_; }
  Past fed(const Model& m, const Lengths& pieces) const {
    Past past = m.new_past();
    std::int64_t at = 0;
    for (const std::int64_t n : pieces) support::feed(m, past, text().subspan(at, n)), at += n;
    return past;
  }
  // What comes after `past` has the bits that it has in one piece.
  void goes_on(Past& past, const std::string& how) const {
    const std::int64_t at = past.length(), n = std::min<std::int64_t>(9, kTokens - at);
    const auto got = support::feed(model_, past, text().subspan(at, n));
    EXPECT_TRUE(std::equal(got.begin(), got.end(), all_.begin() + at * model_.card().vocab)) << how << ", at " << at;
    EXPECT_EQ(past.length(), at + n);
  }

  static std::filesystem::path folder() { return support::golden_data() / GetParam(); }
  const Model whole_ = support::load(folder(), "cpu", 1);
  const Model model_ = support::load(folder(), "cpu", 2, {.snapshots = {.every = kEvery}});
  Ids ids_;
  std::vector<float> all_;
};

TEST_P(States, SnapshotsAreKeptAtTheEndOfCallsAtForksAndEverySoManyTokens) {
  Past past = fed(model_, {70});
  EXPECT_THAT(past.snapshots(), ElementsAre(32, 64, 70));
  for (std::int64_t i = 70; i < 100; ++i) support::feed(model_, past, text().subspan(i, 1));
  EXPECT_THAT(past.snapshots(), ElementsAre(32, 64, 70, 96));
  EXPECT_EQ(past.snapshot_bytes(), 4 * past.shape().state_bytes());
  const Past fork = past.fork();
  EXPECT_THAT(past.snapshots(), ElementsAre(32, 64, 70, 96, 100));
  EXPECT_THAT(fork.snapshots(), ElementsAre(32, 64, 70, 96, 100));
  EXPECT_EQ(past.snapshot_bytes(), 4 * past.shape().state_bytes()) << "what it holds is no snapshot beside itself";
}

TEST_P(States, TheirMemoryIsLimited) {
  const std::size_t one = model_.past_shape().state_bytes();
  const Model m = support::load(folder(), "cpu", 1, {.snapshots = {.every = 8, .most_bytes = 5 * one + 1}});
  Past past = fed(m, {190, 1, 1});
  const Lengths kept = past.snapshots();
  ASSERT_EQ(kept.size(), 5u);
  EXPECT_EQ(kept.back(), 192);
  for (std::size_t i = 0; i + 1 < kept.size(); ++i) {  // the closer the nearer the end
    EXPECT_GE(kept[i + 1] - kept[i], i + 2 < kept.size() ? kept[i + 2] - kept[i + 1] : 0) << i;
  }
  past.truncate(100);
  goes_on(past, "with few snapshots");
}

TEST_P(States, GoesBackToAnywhere) {
  for (const std::int64_t to : {150, 149, 129, 128, 127, 96, 33, 32, 31, 1, 0}) {
    Past past = fed(model_, {50, 1, 1, 98}), fork = past.fork();
    fork.truncate(to);
    EXPECT_EQ(fork.length(), to);
    EXPECT_EQ(fork.must_feed_again(), to != 150 && to != 128 && to != 96 && to != 32 && to != 0) << to;
    EXPECT_LE(to - fork.held(), kEvery);
    Past second = fork.fork();
    goes_on(fork, "rewound");
    EXPECT_FALSE(fork.must_feed_again());
    goes_on(second, "a fork of one that was rewound");
    goes_on(past, "beside a fork that was rewound");
    fork.truncate(std::min<std::int64_t>(to, 40));
    fork.truncate(std::min<std::int64_t>(to, 3));
    goes_on(fork, "rewound three times");
  }
}

TEST_P(States, ForksGoTheirOwnWay) {
  Past past = fed(model_, {60, 1}), fork = past.fork();
  support::feed(model_, fork, support::random_ids(9, 100, model_.card().vocab));
  goes_on(past, "beside a fork that went another way");
  fork.truncate(61);
  EXPECT_FALSE(fork.must_feed_again());
  goes_on(fork, "back where it forked");
}

// Two texts in one call, which goes beyond other numbers of snapshots in each.
TEST_P(States, CallsOfSeveralTexts) {
  Past one = fed(model_, {30}), other = fed(model_, {95});
  const std::int64_t vocab = model_.card().vocab;
  const Feed feeds[] = {{.ids = text().subspan(30, 70), .past = &one}, {.ids = text().subspan(95, 3), .past = &other}};
  const Logits logits = model_.forward(feeds);
  const auto got = logits.span<float>();
  EXPECT_TRUE(std::equal(got.begin(), got.begin() + 70 * vocab, all_.begin() + 30 * vocab));
  EXPECT_TRUE(std::equal(got.begin() + 70 * vocab, got.end(), all_.begin() + 95 * vocab));
  EXPECT_THAT(one.snapshots(), ElementsAre(30, 32, 64, 96, 100));
  EXPECT_THAT(other.snapshots(), ElementsAre(32, 64, 95, 96, 98));
  goes_on(one, "after a call of two");
  goes_on(other, "after a call of two");
}

TEST_P(States, FilesHoldTheSnapshots) {
  const auto file = std::filesystem::path(testing::TempDir()) / (std::string(GetParam()) + ".past.safetensors");
  Past past = fed(model_, {100, 1, 1});
  save_past(file, model_, past);
  const SavedPast saved = open_past(file);
  EXPECT_THAT(saved.snapshots, ElementsAre(32, 64, 96, 100, 102));
  EXPECT_EQ(saved.states, states_text(past.shape()));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(saved.state_data.data()) % 64, 0u);
  for (const std::int64_t common : {102, 101, 96, 40, 2}) {
    Ids prompt(ids_.begin(), ids_.begin() + common + 1);
    if (common < 102) prompt.back() = (prompt.back() + 1) % 60;
    Restored restored = restore_past(file, model_, prompt);
    EXPECT_EQ(restored.past.length(), common);
    goes_on(restored.past, "restored");
    EXPECT_THAT(restored.past.snapshots().size(), testing::Ge(2u));
  }
  past.truncate(20);
  ASSERT_TRUE(past.must_feed_again());
  save_past(file, model_, past);
  Restored restored = restore_past(file, model_, text().first(21));
  goes_on(restored.past, "saved after a rewind");
  std::filesystem::remove(file);
}

TEST_P(States, DamageToAStateIsNamed) {
  const auto file = std::filesystem::path(testing::TempDir()) / (std::string(GetParam()) + ".damaged.safetensors");
  save_past(file, model_, fed(model_, {70}));
  const SavedPast saved = open_past(file);
  std::string bytes = read_file(file, UINT64_MAX);
  const std::size_t states = saved.state_data.size(), header = bytes.size() - states - saved.blocks.size();
  bytes[header + states / 3 + 8] ^= 4;  // of the second of three
  std::ofstream(file, std::ios::binary) << bytes;
  try {
    restore_past(file, model_, text().first(71));
    FAIL() << "not seen";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("is damaged: the checksum of the state after 64 tokens is wrong"));
  }
  Restored before = restore_past(file, model_, text().first(50));  // which asks for the first alone
  goes_on(before.past, "before the damage");
  std::filesystem::remove(file);
}

// As GoesBackToAnywhere, on a table in whose memory nobody else can read, and that replays what it has recorded.
TEST_P(States, OnADevice) {
  const kernels::Backend backend{support::far::ops()};
  support::FarDevice& device = support::far::of(backend.device());
  const Model far = model::load(hf::Folder::open(folder()), backend, {.snapshots = {.every = kEvery}});
  const Model naive = support::load(folder(), "naive", 1);
  Past past = far.new_past(), right = naive.new_past();
  const auto want = support::feed(naive, right, text().first(80));
  const auto expect_rows = [&](const std::vector<float>& got, std::int64_t from) {
    EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin() + from * naive.card().vocab)) << from;
  };
  expect_rows(support::feed(far, past, text().first(40)), 0);
  for (std::int64_t i = 40; i < 60; ++i) expect_rows(support::feed(far, past, text().subspan(i, 1)), i);
  EXPECT_GT(device.replays, 0);
  for (const int operation : {1, 9, 15}) {
    device.fail_in = operation;
    EXPECT_THROW(support::feed(far, past, text().subspan(3, 12)), Error);
    EXPECT_EQ(past.length(), 60);
    EXPECT_FALSE(past.must_feed_again());
  }
  expect_rows(support::feed(far, past, text().subspan(60, 20)), 60);
  past.truncate(50);
  device.fail_in = 5;  // while tokens are fed again
  EXPECT_THROW(support::feed(far, past, text().subspan(50, 3)), Error);
  EXPECT_EQ(past.length(), 50);
  expect_rows(support::feed(far, past, text().subspan(50, 3)), 50);
  EXPECT_THAT(device.wrong, testing::IsEmpty());
}

TEST_P(States, CostIsTheSameHoweverLongTheText) {
  const Cost cost = cost_of(model_);
  const Card& card = model_.card();
  const auto layers = static_cast<double>(card.layers_with_keys());
  const auto keys = layers * static_cast<double>(2 * card.kv_heads * card.head_dim) *
                    static_cast<double>(size_of(model_.past_dtype()));
  EXPECT_EQ(cost.step_bytes(1000) - cost.step_bytes(0), 1000 * keys);
  EXPECT_GE(cost.step_bytes(0), cost.weight_bytes + 2 * static_cast<double>(card.state_bytes()));
}

INSTANTIATE_TEST_SUITE_P(Models, States,
                         testing::Values("lfm2-mixed", "lfm2-convolutions-alone", "qwen35-mixed", "qwen35-nets-alone",
                                         "bamba-mixed", "mamba2-limits"),
                         [](const auto& test) { return support::test_name(std::string(test.param)); });

}  // namespace
}  // namespace pkv::model
