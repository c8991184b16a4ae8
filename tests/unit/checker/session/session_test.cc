// What Session and Subject do by themselves, and what is refused of a system's answers.
#include "checker/session/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "checker/session/answers.h"

namespace pkv::session {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

constexpr std::int64_t kVocab = 5;

// Position p gives p, p - 1, ... to the tokens 0, 1, ...; shown whole, or the `top` likeliest of the last `rows`.
struct Counting : Session {
  std::int64_t top = 0, rows = 0, length_ = 0;

  Logits feed(std::span<const std::int32_t> ids) override {
    Logits logits{.vocab = kVocab, .values = {}, .ids = {}, .top = top};
    const std::int64_t from = rows == 0 ? 0 : std::ssize(ids) - rows;
    for (std::int64_t r = from; r < std::ssize(ids); ++r) {
      for (std::int32_t v = 0; v < logits.seen(); ++v) {
        logits.values.push_back(static_cast<float>(length_ + r - v));
        if (top > 0) logits.ids.push_back(v);
      }
    }
    length_ += std::ssize(ids);
    return logits;
  }
};

struct System : Subject {
  Description describe() const override { return {.name = "counting"}; }
  std::unique_ptr<Session> fresh() override { return std::make_unique<Counting>(); }
};

std::string refused(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Logits, OfAllTokensAndOfTheLikeliest) {
  const Logits all{.vocab = 3, .values = {1, 2, 3, 4, 5, 6}};
  EXPECT_TRUE(all.dense());
  EXPECT_EQ(all.rows(), 2);
  EXPECT_EQ(all.seen(), 3);
  EXPECT_THAT(all.row(1), ElementsAre(4, 5, 6));
  EXPECT_TRUE(all.row_ids(1).empty());
  const Logits two{.vocab = 100, .values = {9, 8, 7, 6}, .ids = {70, 3, 5, 70}, .top = 2};
  EXPECT_FALSE(two.dense());
  EXPECT_EQ(two.rows(), 2);
  EXPECT_EQ(two.seen(), 2);
  EXPECT_THAT(two.row(1), ElementsAre(7, 6));
  EXPECT_THAT(two.row_ids(1), ElementsAre(5, 70));
  EXPECT_EQ(Logits{}.rows(), 0);
}

TEST(Session, TheLastRowOfAFeed) {
  Counting whole, top;
  top.top = 2;
  EXPECT_THAT(whole.feed_last(Ids{1, 2, 3}).values, ElementsAre(2, 1, 0, -1, -2));
  const Logits last = top.feed_last(Ids{1, 2, 3});
  EXPECT_THAT(last.values, ElementsAre(2, 1));
  EXPECT_THAT(last.ids, ElementsAre(0, 1));
}

TEST(Session, SaysNothingOfItsPastUnlessItKnows) {
  EXPECT_EQ(Counting().length(), std::nullopt);
  EXPECT_EQ(Counting().save(), nullptr);
}

TEST(Subject, FeedsSeveralSessionsOneAfterTheOther) {
  System system;
  Counting a, b;
  a.feed(Ids{1});
  const Feed feeds[]{{a, Ids{1, 2}}, {b, Ids{3}}};
  const auto logits = feed(system, feeds, kVocab, "counting");
  ASSERT_EQ(logits.size(), 2u);
  EXPECT_THAT(logits[0].row(1), ElementsAre(2, 1, 0, -1, -2));
  EXPECT_THAT(logits[1].row(0), ElementsAre(0, -1, -2, -3, -4));
}

TEST(Answers, ThePartsOfLogitsAreRefusedWhereAllAreNeeded) {
  Counting likeliest, last;
  likeliest.top = 2;
  last.rows = 1;
  const std::string top = refused([&] { feed(likeliest, Ids{1, 2, 3}, 0, "a server"); });
  EXPECT_THAT(top, HasSubstr("the system shows a part of its logits only"));
  EXPECT_THAT(top, HasSubstr("the 2 likeliest tokens of 5 at 3 of 3 positions"));
  EXPECT_THAT(top, HasSubstr("a server"));
  EXPECT_THAT(refused([&] { feed(last, Ids{1, 2, 3}, 0, "a server"); }), HasSubstr("logits of another shape"));
  EXPECT_EQ(feed_last(last, Ids{1, 2}, "a server").rows(), 1);
  EXPECT_EQ(feed_last(likeliest, Ids{1, 2}, "a server").ids, (Ids{0, 1}));
}

TEST(Answers, OfAnotherShapeAreRefused) {
  struct Saying : Session {
    Logits said;
    Logits feed(std::span<const std::int32_t>) override { return said; }
  } session;
  const auto wrong = [&](Logits said) {
    session.said = std::move(said);
    return refused([&] { feed_last(session, Ids{1}, "s"); });
  };
  EXPECT_EQ(wrong({.vocab = 2, .values = {1, 2}}), "");
  EXPECT_THAT(wrong({.vocab = 2, .values = {1, 2, 3}}), HasSubstr("3 values, vocabulary of 2"));
  EXPECT_THAT(wrong({.vocab = 0, .values = {}}), HasSubstr("another shape"));
  EXPECT_THAT(wrong({.vocab = 9, .values = {1}, .ids = {9}, .top = 1}), HasSubstr("another shape")) << "no such id";
  EXPECT_THAT(wrong({.vocab = 9, .values = {1, 2}, .ids = {3}, .top = 2}), HasSubstr("2 values and 1 ids"));
  EXPECT_THAT(wrong({.vocab = 9, .values = {1}, .ids = {3}, .top = 10}), HasSubstr("another shape"));
}

}  // namespace
}  // namespace pkv::session
