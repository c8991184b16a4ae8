// What a check makes of a system's answers: none is taken on trust, and every token fed is accounted for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "checker/causes/observe.h"
#include "checker/check/run.h"
#include "checker/run/replay.h"
#include "mutants/toy.h"

namespace pkv::check {
namespace {

using Ids = std::vector<std::int32_t>;
using testing::HasSubstr;

const Ids kText{1, 2, 3, 4, 5, 6};

// What was asked of a system.
struct Asked {
  std::int64_t calls = 0, tokens = 0;
  std::int64_t answers = 0;     // that somebody looks at
  std::int64_t short_one = -1;  // the answer from which the last number is missing
};

// A toy whose states are its tokens, and which counts.
class Counting : public Session, Look, Fork, Rewind {
 public:
  Counting(std::unique_ptr<Session> toy, Asked& asked) : toy_(std::move(toy)), asked_(asked) {}

  Logits feed(std::span<const std::int32_t> ids) override {
    Logits logits = count(ids);
    if (asked_.answers++ == asked_.short_one) logits.values.pop_back();
    return logits;
  }
  void skip(std::span<const std::int32_t> ids) override { count(ids); }
  std::optional<std::int64_t> length() const override { return toy_->length(); }
  Look* look() override { return this; }
  Fork* fork() override { return this; }
  Rewind* rewind() override { return this; }

 private:
  Logits count(std::span<const std::int32_t> ids) {
    asked_.calls++;
    asked_.tokens += std::ssize(ids);
    return toy_->feed(ids);
  }
  Logits feed_and_look(std::span<const std::int32_t> ids, States& states) override {
    states = {.width = 1, .layers = {{ids.begin(), ids.end()}, {ids.begin(), ids.end()}}, .attended = {}};
    if (asked_.answers++ == asked_.short_one) states.layers[1].pop_back();
    return count(ids);
  }
  std::unique_ptr<Session> fork_session() override {
    return std::make_unique<Counting>(toy_->fork()->fork_session(), asked_);
  }
  void truncate(std::int64_t length) override { toy_->rewind()->truncate(length); }

  std::unique_ptr<Session> toy_;
  Asked& asked_;
};

struct CountingSubject : Subject {
  explicit CountingSubject(toy::Bugs bugs) : toy(std::move(bugs)) {}
  Description describe() const override { return toy.describe(); }
  std::unique_ptr<Session> fresh() override { return std::make_unique<Counting>(toy.fresh(), asked); }

  toy::Subject toy;
  Asked asked;
};

toy::Bugs position_restarts() {
  toy::Bugs b;
  b.position = [](toy::Call, std::int64_t row) { return row; };
  return b;
}

toy::Bugs looks_ahead() {
  toy::Bugs b;
  b.sees = [](toy::Call, std::int64_t, std::int64_t) { return true; };
  return b;
}

toy::Bugs mixes_texts_up() {
  toy::Bugs b;
  b.finds_prefix_by_length = true;
  return b;
}

toy::Bugs shares_forks() {
  toy::Bugs b;
  b.shares_on_fork = true;
  return b;
}

toy::Bugs rewinds_too_little() {
  toy::Bugs b;
  b.rewind_error = 1;
  return b;
}

std::vector<toy::Bugs> faulty() {
  return {position_restarts(), looks_ahead(), mixes_texts_up(), shares_forks(), rewinds_too_little()};
}

TEST(Answers, OfAnotherShapeAreRefusedWhereverTheyCome) {
  for (const toy::Bugs& bugs : faulty()) {
    CountingSubject sound(bugs);
    run(sound, kText);
    ASSERT_GT(sound.asked.answers, 40);
    for (std::int64_t i = 0; i < sound.asked.answers; ++i) {
      CountingSubject subject(bugs);
      subject.asked.short_one = i;
      try {
        run(subject, kText);
        ADD_FAILURE() << "answer " << i << " of " << sound.asked.answers;
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), Error::Kind::load);
        EXPECT_THAT(e.what(), HasSubstr("of another shape"));
      }
    }
  }
}

TEST(Progress, CountsEveryTokenFedAndHasMoreToComeWhileCausesAreSought) {
  for (const toy::Bugs& bugs : faulty()) {
    CountingSubject subject(bugs);
    std::vector<std::int64_t> done, total;
    run(subject, kText, {.progress = [&](std::int64_t d, std::int64_t t) { done.push_back(d), total.push_back(t); }});
    EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
    EXPECT_EQ(done.back(), subject.asked.tokens);
    EXPECT_EQ(done.back(), total.back());
    std::size_t complete = 0;
    for (std::size_t i = 0; i < done.size(); ++i) complete += done[i] >= total[i] ? 1 : 0;
    EXPECT_LE(complete, 3u);  // the plan, perhaps a guess, and the end
  }
}

TEST(Cost, IsAllThatLookingForTheCauseFeeds) {
  for (const toy::Bugs& bugs : faulty()) {
    CountingSubject subject(bugs);
    const Report report = run(subject, kText);
    const Ids other = another_text(kText, toy::vocab);
    const Logits logits = subject.toy.fresh()->feed(kText);
    subject.asked = {};
    std::int64_t told = 0;
    const Setting setting{
        subject, {kText, other, logits}, report.subject, report.tolerance(), [&](std::int64_t tokens) {
          told += tokens;
        }};
    const Causes causes = explain(setting, report, report, {report.in_pieces.first, report.bound.value});
    EXPECT_GT(subject.asked.calls, 0);
    EXPECT_EQ(causes.explaining_feeds, subject.asked.calls);
    EXPECT_EQ(causes.explaining_tokens, subject.asked.tokens);
    EXPECT_EQ(told, subject.asked.tokens);
  }
}

// A toy that says of itself that it breaks the row law, and can compute what one cause would give: other logits by `by`
// than fed whole. What it really gives is larger by 1 after a past.
struct Declares : Subject, Counterfactual {
  Declares(std::optional<CauseId> cause, float by, float for_each_row = 0) : cause_(cause), by_(by) {
    toy::Bugs b;
    b.logit = [=](toy::Call c, float v) {
      return v + (c.continues() ? 1.f : 0.f) + for_each_row * static_cast<float>(c.count);
    };
    toy_.emplace(b);
  }
  Description describe() const override {
    Description d = toy_->describe();
    d.breaks_law = "rows share their outliers";
    return d;
  }
  std::unique_ptr<Session> fresh() override { return toy_->fresh(); }
  Counterfactual* counterfactual() override { return this; }
  std::optional<Logits> suppose(std::span<const Supposition> what, std::span<const std::int32_t> ids,
                                std::int64_t past) override {
    if (what.size() != 1 || what[0].cause != cause_) return std::nullopt;
    Logits logits = toy_->fresh()->feed(ids);
    logits.values.erase(logits.values.begin(), logits.values.begin() + past * logits.vocab);
    for (float& v : logits.values) v += by_;
    return logits;
  }

  std::optional<CauseId> cause_;
  float by_;
  std::optional<toy::Subject> toy_;
};

TEST(Declaration, IsTheCauseWhereNothingSpeaksAgainstIt) {
  Declares subject(std::nullopt, 0);
  const Report r = run(subject, kText);
  ASSERT_EQ(r.causes.size(), 1u);
  EXPECT_EQ(r.causes[0].cause, "rows-not-independent");
  EXPECT_TRUE(r.causes[0].confirmed);
  EXPECT_THAT(r.verdict.sentence, testing::StartsWith("rows share their outliers. "));
}

TEST(Declaration, IsNotTheCauseWhereItsLogitsAreOthers) {
  Declares subject(CauseId::rows_not_independent, -1);
  const Report r = run(subject, kText);
  ASSERT_EQ(r.causes.size(), 1u);
  EXPECT_EQ(r.causes[0].cause, "rows-not-independent");
  EXPECT_FALSE(r.causes[0].confirmed);
  EXPECT_EQ(r.causes[0].explained, 0);
  EXPECT_THAT(r.verdict.sentence, testing::Not(HasSubstr("rows share their outliers")));
}

// Rows of longer calls are larger, those of the first call too.
TEST(Declaration, TellsWhyABeginningChangesWhenMoreFollows) {
  for (const std::optional<CauseId> cause : {std::optional<CauseId>(), {CauseId::rows_not_independent}}) {
    Declares subject(cause, -9, 0.1f);
    const Report r = run(subject, kText);
    ASSERT_GT(first_pieces_of(r).max_abs, r.bound.value);
    ASSERT_EQ(r.causes.size(), 1u);
    EXPECT_EQ(r.causes[0].cause, "rows-not-independent");
    EXPECT_EQ(r.causes[0].confirmed, !cause);
    EXPECT_THAT(r.verdict.sentence, testing::Not(HasSubstr("looks ahead")));
  }
}

TEST(Declaration, HidesNoCauseThatGivesTheSameLogits) {
  for (const CauseId cause : {CauseId::top_left_mask, CauseId::rows_not_independent}) {
    Declares subject(cause, 1);
    const Report r = run(subject, kText);
    ASSERT_EQ(r.causes.size(), 1u);
    EXPECT_TRUE(r.causes[0].is(cause));
    EXPECT_TRUE(r.causes[0].confirmed);
    EXPECT_GT(r.causes[0].same_rows, 0);
    EXPECT_THAT(r.verdict.sentence, testing::StartsWith(cause_of(cause).statement));
  }
}

}  // namespace
}  // namespace pkv::check
