#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "checker/measure/rows.h"
#include "toy.h"

namespace pkv::measure {
namespace {

Options small() {
  Options o;
  o.new_tokens = 5;
  o.prompt_tokens = {4};
  o.repetitions = 3;
  o.seconds = 0;
  return o;
}

Options prefixes(std::vector<std::int64_t> tokens) {
  Options o = small();
  o.new_tokens = 0;
  o.prefix_tokens = std::move(tokens);
  return o;
}

double seconds_of(std::int64_t calls, std::int64_t tokens) {
  return Toy::kCall * static_cast<double>(calls) + Toy::kToken * static_cast<double>(tokens);
}

TEST(Run, TimesEveryTokenWithAndWithoutPast) {
  Toy toy;
  const Result r = measured(toy, small());
  ASSERT_EQ(r.generation.size(), 1u);
  const Generation& g = r.generation[0];
  EXPECT_EQ(g.prompt, 4);
  EXPECT_FALSE(g.sampled());
  ASSERT_EQ(g.with_total.size(), 3u);
  for (const double s : g.with_total) EXPECT_NEAR(s, seconds_of(5, 4 + 4), 1e-9);
  for (const double s : g.without_total) EXPECT_NEAR(s, seconds_of(5, 4 + 5 + 6 + 7 + 8), 1e-9);
  EXPECT_NEAR(g.with_past.medians()[0], seconds_of(1, 4), 1e-9);
  EXPECT_NEAR(g.with_past.medians()[3], seconds_of(1, 1), 1e-9);
  EXPECT_NEAR(g.without_past.medians()[3], seconds_of(1, 7), 1e-9);
  EXPECT_NEAR(g.faster().times, 8.0 / 5.8, 1e-9);
  EXPECT_TRUE(r.holds());
}

TEST(Run, SharesAreWorkOverTimeOverPeak) {
  Toy toy;
  const Result r = measured(toy, small());
  const Generation& g = r.generation[0];
  // Four tokens after the first, which read 1,000 bytes and two for each token of the past: 4, 5, 6, 7.
  EXPECT_NEAR(median_of(g.read_share), (4000 + 2 * 22) / 4.4 / 4000, 1e-9);
  EXPECT_NEAR(median_of(g.fma_share), 400 / 1.4 / 500, 1e-9);
  EXPECT_DOUBLE_EQ(g.bytes_per_token, 1000 + 2 * 6);
  EXPECT_DOUBLE_EQ(g.flop_per_token, 2 * (100 + 10));
  EXPECT_EQ(r.peak_memory, 123'000'000u);
}

TEST(Run, TakesVariantsInTurnForwardAndBackward) {
  Toy toy;
  measured(toy, small());
  std::string order;  // of the longest call of each variant's round
  for (const auto& [past, tokens] : toy.calls) {
    if (past == 7) order += '+';
    if (past == 0 && tokens == 8) order += '-';
  }
  EXPECT_EQ(order,
            "+-"
            "+-"
            "-+"
            "+-");  // the untimed run and its check, then three rounds
}

// A machine that slows down steadily slows both alike: the ratio stays what it would be.
TEST(Run, DriftHitsAllVariants) {
  Toy toy;
  toy.slower = 0.01;
  Options o = small();
  o.repetitions = 8;
  const Result r = measured(toy, o);
  EXPECT_NEAR(r.generation[0].faster().times, 8.0 / 5.8, 0.07);
  EXPECT_GT(spread_of(r.generation[0].with_total).most, 1.3 * spread_of(r.generation[0].with_total).least);
}

TEST(Run, DepthIsThereAlready) {
  Toy toy;
  Options o = small();
  o.depths = {10};
  const Result r = measured(toy, o);
  EXPECT_NEAR(r.generation[0].with_total[0], seconds_of(5, 4 + 4), 1e-9);
  EXPECT_NEAR(r.generation[0].without_past.medians()[0], seconds_of(1, 14), 1e-9);
}

TEST(Run, SamplesTokensWithoutPastWhereAllTakeTooLong) {
  Toy toy;
  Options o = small();
  o.new_tokens = 101;
  o.seconds = 3 * 5 * 6.4;  // five tokens of about 6.4 s in each of three rounds
  const Result r = measured(toy, o);
  const Generation& g = r.generation[0];
  EXPECT_TRUE(g.sampled());
  EXPECT_EQ(g.without_past.positions, (std::vector<std::int64_t>{0, 25, 50, 75, 100}));
  EXPECT_EQ(g.with_past.positions.size(), 101u);
  EXPECT_NEAR(g.without_total[0], seconds_of(101, 101 * (4 + 50)), 1e-6);  // costs are linear, and so is the filling
  ASSERT_EQ(r.notes.size(), 1u);
  EXPECT_EQ(r.notes[0],
            "Without past, 5 of the 101 tokens after 4 were timed; totals without past are interpolated between them.");
}

TEST(Run, PeaksAreMeasuredInEveryRoundAlsoWithoutGeneration) {
  Toy toy;
  const Result r = measured(toy, prefixes({4}));
  EXPECT_EQ(r.read_rate.size(), 3u);
  EXPECT_EQ(r.fma_rate.size(), 3u);
}

// The peaks empty the caches: the variant after them is begun untimed, and then timed from its beginning.
TEST(Run, NothingIsTimedRightAfterThePeaks) {
  struct Watching : ToyMachine {
    explicit Watching(Toy& t) : toy(t) {}
    double fma_rate() override {
      after.push_back(toy.calls.size());
      return ToyMachine::fma_rate();
    }
    Toy& toy;
    std::vector<std::size_t> after;  // calls before each measurement
  };
  using Calls = std::vector<std::pair<std::int64_t, std::int64_t>>;
  const auto calls_after_the_first = [](Options o, std::ptrdiff_t count) {
    Toy toy;
    Watching machine(toy);
    o.clock = toy.clock();
    run(toy, {&toy, &machine}, toy_text(text_needed(o)), o);
    EXPECT_EQ(machine.after.size(), 3u);
    const auto from = toy.calls.begin() + static_cast<std::ptrdiff_t>(machine.after.at(0));
    return Calls(from, from + count);
  };
  EXPECT_EQ(calls_after_the_first(small(), 5), (Calls{{0, 4}, {4, 1}, {0, 4}, {4, 1}, {5, 1}}));
  EXPECT_EQ(calls_after_the_first(prefixes({4}), 3), (Calls{{0, 5}, {0, 5}, {4, 1}}));
}

TEST(Run, WhatComesFromMemoryIsNoReadingFromTheDisk) {
  Toy toy;
  toy.keeps = 3;  // the first request is that of the untimed run, which makes a second one
  const Result r = measured(toy, prefixes({16}));
  ASSERT_EQ(r.reuse.size(), 1u);
  EXPECT_EQ(r.reuse[0].seconds[Reuse::disk].size(), 2u);
  EXPECT_EQ(r.reuse[0].seconds[Reuse::page_cache].size(), 3u);
  for (const double s : r.reuse[0].seconds[Reuse::disk]) EXPECT_NEAR(s, Toy::kDisk + seconds_of(1, 1), 1e-9);
  ASSERT_EQ(r.notes.size(), 1u);
  EXPECT_EQ(r.notes[0],
            "Prefix 16: 1 of the 3 readings from the disk are left out, for the system kept the file in memory.");
}

TEST(Run, NoRowIsComparedWithItself) {
  Toy toy;
  EXPECT_EQ(measured(toy, prefixes({4, 16})).rows_compared, 2 * (4 * 4 - 1));  // four ways, once untimed and thrice
}

TEST(Run, ALateFailureLeavesNoFigures) {
  Toy toy;
  Options o = small();
  Toy counting;
  measured(counting, o);
  toy.wrong_after = std::ssize(counting.calls) - 3;
  const Result r = measured(toy, o);
  EXPECT_FALSE(r.holds());
  EXPECT_TRUE(r.generation.empty());
  EXPECT_TRUE(r.read_rate.empty());
  EXPECT_TRUE(r.fma_rate.empty());
}

TEST(Run, SaysWhatDoesNotFit) {
  Toy toy;
  toy.longest = 20;
  Options o = prefixes({40, 50});
  const auto said = [&](const Options& options) {
    try {
      measured(toy, options);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(said(o).find("at most 20 tokens"), std::string::npos) << said(o);
  EXPECT_NE(said(o).find("41 for the shortest"), std::string::npos) << said(o);
  o.prefix_tokens.clear();
  EXPECT_NE(said(o).find("there is nothing to measure"), std::string::npos) << said(o);
}

TEST(Run, ReusesPrefixes) {
  Toy toy;
  const Result r = measured(toy, prefixes({1, 4, 16, 64}));
  EXPECT_TRUE(r.generation.empty());
  ASSERT_EQ(r.reuse.size(), 4u);
  const Reuse& u = r.reuse[3];
  EXPECT_NEAR(median_of(u.seconds[Reuse::recomputed]), seconds_of(1, 65), 1e-9);
  EXPECT_NEAR(median_of(u.seconds[Reuse::memory]), seconds_of(1, 1), 1e-9);
  EXPECT_NEAR(median_of(u.seconds[Reuse::page_cache]), Toy::kRestore + seconds_of(1, 1), 1e-9);
  EXPECT_NEAR(median_of(u.seconds[Reuse::disk]), Toy::kDisk + seconds_of(1, 1), 1e-9);
  EXPECT_EQ(u.saved_bytes, 4u * 64);
  EXPECT_EQ(u.hash, hash_of(toy.fresh()->feed(toy_text(65))));
  EXPECT_DOUBLE_EQ(u.save_seconds, 3);
  EXPECT_EQ(worth_from(r.reuse, Reuse::memory), 1);
  EXPECT_EQ(worth_from(r.reuse, Reuse::page_cache), 16);
  EXPECT_EQ(worth_from(r.reuse, Reuse::disk), 64);
  EXPECT_NEAR(disk_rate(r.reuse).value(), 4 * 64 / (Toy::kDisk - Toy::kRestore), 1e-6);
}

TEST(Run, SaysWhatCannotBeReused) {
  Toy toy;
  toy.leaves_memory = false;
  Options o = small();
  o.prefix_tokens = {4};
  EXPECT_EQ(measured(toy, o).notes[0], "Reading from the disk is left out: the system keeps the file in memory.");
  toy.can_save = false;
  EXPECT_EQ(measured(toy, o).notes[0], "Saved pasts are left out: this system cannot save one.");
}

TEST(Run, AnotherAnswerIsNoSpeed) {
  Toy toy;
  toy.wrong_from = 8;
  const Result r = measured(toy, small());
  EXPECT_FALSE(r.holds());
  EXPECT_TRUE(r.generation.empty());
  EXPECT_EQ(r.disagreements[0].variant, "without past");
  EXPECT_EQ(r.disagreements[0].tokens, 8);
  EXPECT_LT(toy.calls.size(), 8u) << "it was measured nevertheless";
}

TEST(Run, AnotherAnswerOfARestoredPast) {
  Toy toy;
  toy.wrong_saved = true;
  Options o = small();
  o.prefix_tokens = {4};
  const Result r = measured(toy, o);
  EXPECT_FALSE(r.holds());
  EXPECT_EQ(r.disagreements[0].variant, "prefix page cache");
}

TEST(Run, EveryRoundIsCompared) {
  Toy toy;
  const Result r = measured(toy, small());
  EXPECT_EQ(r.rows_compared, 1 + 3 * (5 + 5));
}

TEST(Run, LogitsThatAreNoNumbers) {
  Toy toy;
  toy.not_a_number = true;
  EXPECT_THROW(measured(toy, small()), Error);
}

TEST(Run, LeavesOutWhatTheContextHasNoRoomFor) {
  Toy toy;
  toy.longest = 20;
  Options o = small();
  o.prompt_tokens = {4, 16, 17};
  o.prefix_tokens = {19, 20};
  const Result r = measured(toy, o);
  EXPECT_EQ(r.generation.size(), 2u);
  EXPECT_EQ(r.reuse.size(), 1u);
  ASSERT_EQ(r.notes.size(), 2u);
  EXPECT_EQ(r.notes[0], "5 new tokens after 17 are left out: the toy's context is 20 tokens.");
  EXPECT_EQ(r.notes[1], "A prefix of 20 is left out: the toy's context is 20 tokens.");
  toy.longest = 7;
  EXPECT_THROW(measured(toy, o), Error);
}

TEST(Run, RefusesWhatMakesNoSense) {
  Toy toy;
  Options o = small();
  o.prompt_tokens = {0};
  EXPECT_THROW(measured(toy, o), Error);
  o = small();
  o.repetitions = 0;
  EXPECT_THROW(measured(toy, o), Error);
  o = small();
  o.depths = {-1};
  EXPECT_THROW(measured(toy, o), Error);
  for (const auto& falling : {std::vector<std::int64_t>{16, 4}, {4, 4}, {1, 16, 8}}) {
    EXPECT_THROW(measured(toy, prefixes(falling)), Error);
  }
}

TEST(Run, ProgressRisesToItsTotal) {
  Toy toy;
  Options o = small();
  o.prefix_tokens = {4};
  std::int64_t last = -1, total = 0;
  bool rises = true;
  o.progress = [&](std::int64_t done, std::int64_t of) {
    rises &= done >= last && done <= of;
    last = done, total = of;
  };
  measured(toy, o);
  EXPECT_TRUE(rises);
  EXPECT_EQ(last, total);
}

// What is to come is known from the first time that the longest prefix was fed.
TEST(Run, ProgressOfPrefixesAloneBeginsAtItsBeginning) {
  Toy toy;
  Options o = prefixes({1, 4, 16, 64});
  std::vector<double> shares;
  o.progress = [&](std::int64_t done, std::int64_t of) {
    shares.push_back(static_cast<double>(done) / static_cast<double>(of));
  };
  measured(toy, o);
  ASSERT_GT(shares.size(), 4u * 4);
  EXPECT_LT(shares.front(), 0.5);
  EXPECT_TRUE(std::all_of(shares.begin(), shares.end() - 1, [](double s) { return s < 0.999; }));
  EXPECT_EQ(shares.back(), 1);
}

TEST(Rows, ZerosOfBothSignsAreTwoRows) { EXPECT_NE(hash_of({1, {0.0f}}), hash_of({1, {-0.0f}})); }

TEST(Rows, OfTheLikeliestTokensTheirIdsCount) {
  const Logits two{.vocab = 100, .values = {3, 2}, .ids = {70, 8}, .top = 2};
  EXPECT_EQ(greedy(two), 70);
  EXPECT_EQ(greedy({4, {1, 3, 3, 2}}), 1);
  EXPECT_NE(hash_of(two), hash_of({.vocab = 100, .values = {3, 2}, .ids = {71, 8}, .top = 2}));
}

TEST(Run, ASystemThatCannotForkIsMeasuredWithoutWhatNeedsIt) {
  Toy toy;
  toy.can_fork = false;
  Options o = small();
  o.depths = {0, 8};
  o.prefix_tokens = {4};
  const Result r = measured(toy, o);
  ASSERT_EQ(r.generation.size(), 1u);
  EXPECT_EQ(r.generation[0].depth, 0);
  EXPECT_TRUE(r.reuse.empty());
  EXPECT_THAT(r.notes, testing::IsSupersetOf({"Depths above 0 are left out: this system cannot fork and rewind a past.",
                                              "The reuse of prefixes is left out: this system cannot fork and rewind a "
                                              "past."}));
  EXPECT_THROW(measured(toy, prefixes({4})), Error);
}

TEST(Run, WithoutCostsThereAreTimesAndNoShares) {
  Toy toy;
  ToyMachine machine;
  Options o = small();
  o.clock = toy.clock();
  const Result r = run(toy, {nullptr, &machine}, toy_text(text_needed(o)), o);
  EXPECT_EQ(r.weight_bytes, 0);
  EXPECT_TRUE(r.generation.at(0).fma_share.empty());
  EXPECT_TRUE(r.generation.at(0).read_share.empty());
  EXPECT_GT(r.generation.at(0).faster().times, 1);
}

TEST(Gain, IsThatOfOneGenerationAndNoneBeyondTheContext) {
  Toy toy;
  EXPECT_GT(gain(toy, toy_text(4), 3).value().times, 0);
  EXPECT_FALSE(gain(toy, toy_text(4), 0));
  toy.longest = 5;
  EXPECT_FALSE(gain(toy, toy_text(4), 3));
  toy.longest = 6;
  EXPECT_TRUE(gain(toy, toy_text(4), 3));
  toy.wrong_after = static_cast<std::int64_t>(toy.calls.size()) + 4;
  EXPECT_FALSE(gain(toy, toy_text(4), 3)) << "other logits";
}

}  // namespace
}  // namespace pkv::measure
