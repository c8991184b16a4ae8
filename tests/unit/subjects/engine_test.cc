// Our engine as a subject: several sessions in one call, pasts that are saved, and what recordings of it hold.
#include "subjects/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "files/hf/hf.h"
#include "subjects/recorded.h"
#include "support/places.h"

namespace pkv::subjects {
namespace {

using Ids = std::vector<std::int32_t>;

EngineSubject engine(const std::string& model, const std::string& as = "") {
  const std::filesystem::path folder = support::source() / "models" / model;
  return {model::load(hf::Folder::open(folder), kernels::Backend("cpu", 1)), model, {.as = as}};
}

TEST(EngineSubject, SeveralSessionsInOneCallGetTheBitsOfEachAlone) {
  for (const char* as : {"", "past-ignored", "past-of-another-text"}) {
    EngineSubject subject = engine("tiny-gpt2", as), alone = engine("tiny-gpt2", as);
    const Ids texts[]{{5, 6, 7, 8}, {9}, {10, 11}};
    std::vector<std::unique_ptr<session::Session>> together;
    std::vector<std::vector<float>> expected;
    std::vector<session::Feed> feeds;
    for (const Ids& text : texts) {
      const auto one = alone.fresh();
      together.push_back(subject.fresh());
      one->feed(Ids{1, 2, 3});
      together.back()->feed(Ids{1, 2, 3});
      expected.push_back(one->feed(text).values);
      feeds.push_back({*together.back(), text});
    }
    const auto logits = subject.feed(feeds);
    ASSERT_EQ(logits.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(logits[i].rows(), std::ssize(texts[i])) << as;
      EXPECT_EQ(logits[i].values, expected[i]) << as << ", session " << i;
      EXPECT_EQ(together[i]->length(), 3 + std::ssize(texts[i])) << as;
    }
  }
}

TEST(EngineSubject, GoesOnFromASavedPast) {
  EngineSubject subject = engine("tiny-falcon");
  const auto session = subject.fresh();
  session->feed(Ids{1, 2, 3});
  ASSERT_NE(session->save(), nullptr);
  const auto saved = session->save()->save_past();
  EXPECT_GT(saved->bytes(), 0u);
  const auto restored = saved->restore();
  EXPECT_EQ(restored->length(), 3);
  EXPECT_EQ(restored->feed_last(Ids{4}).values, session->feed_last(Ids{4}).values);
  EXPECT_EQ(engine("tiny-roberta").fresh()->save(), nullptr) << "attends both ways";
}

TEST(EngineSubject, IsDescribedOnceForAllWhoFeedIt) {
  const session::Description d = engine("tiny-gpt2").describe();
  EXPECT_EQ(d.family, "GPT-2");
  EXPECT_THAT(d.system, testing::StartsWith("pkv cpu"));
  EXPECT_GT(d.vocab, 0);
  EXPECT_GT(d.longest, 0);
  EXPECT_TRUE(d.no_past.empty());
  EXPECT_FALSE(engine("tiny-roberta").describe().no_past.empty());
  EXPECT_THAT(engine("tiny-gpt2", "window=3").describe().system, testing::EndsWith(", as window=3"));
}

TEST(Recording, ComesBackAsItWasWritten) {
  EngineSubject subject = engine("tiny-gpt2");
  const auto session = subject.fresh();
  check::Recording r{.description = subject.describe(), .text = "a text", .ids = {1, 2}, .past_tokens = 7};
  r.logits = session->feed(r.ids);
  r.pieces = {1, 1};
  r.past_lengths = {1, std::nullopt};
  r.past_file = "p.safetensors";
  const auto file = std::filesystem::path(testing::TempDir()) / "pkv-recording-test.safetensors";
  write_recording(file, r);
  const check::Recording read = read_recording(file);
  std::filesystem::remove(file);
  EXPECT_EQ(read.ids, r.ids);
  EXPECT_EQ(read.logits.values, r.logits.values);
  EXPECT_EQ(read.pieces, r.pieces);
  EXPECT_EQ(read.past_lengths, r.past_lengths);
  EXPECT_EQ(read.past_file, "p.safetensors");
  EXPECT_EQ(read.past_tokens, 7);
  EXPECT_EQ(read.text, "a text");
  EXPECT_EQ(read.description.layers, r.description.layers);
  EXPECT_EQ(read.description.width, r.description.width);
  EXPECT_EQ(read.description.values_format, "fp32");
}

TEST(Implementations, AreNamedOnceEach) {
  std::vector<std::string> names;
  for (const Choice& c : implementations()) {
    EXPECT_FALSE(c.sentence.empty()) << c.name;
    EXPECT_NO_THROW(require_implementation(c.name)) << c.name;
    names.push_back(c.name);
  }
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

}  // namespace
}  // namespace pkv::subjects
