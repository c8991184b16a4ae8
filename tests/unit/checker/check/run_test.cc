#include "checker/check/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "checker/check/document.h"
#include "mutants/toy.h"

namespace pkv::check {
namespace {

using Ids = std::vector<std::int32_t>;
using testing::HasSubstr;

TEST(Run, ProgressRisesToItsTotal) {
  for (const bool powers : {true, false}) {
    toy::Bugs bugs;
    bugs.powers = powers;
    toy::Subject subject(bugs);
    std::vector<std::int64_t> done;
    std::set<std::int64_t> total;
    run(subject, Ids{1, 2, 3, 4, 5},
        {.progress = [&](std::int64_t d, std::int64_t t) { done.push_back(d), total.insert(t); }});
    EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
    EXPECT_THAT(total, testing::ElementsAre(done.back()));
  }
}

TEST(Run, OfTwoTokens) {
  toy::Subject subject;
  const Report r = run(subject, Ids{1, 2});
  EXPECT_EQ(r.verdict.outcome, Outcome::identical);
  EXPECT_EQ(r.evidence.influences.size(), 1u);
}

TEST(Run, NeedsTwoTokens) {
  toy::Subject subject;
  EXPECT_THROW(run(subject, Ids{1}), Error);
  EXPECT_THROW(run(subject, Ids{}), Error);
}

TEST(Run, ComparesEveryPositionOfTheSecondPart) {
  toy::Subject subject;
  const Report r = run(subject, Ids{1, 2, 3, 4, 5});
  EXPECT_EQ(r.results[0].difference.positions, 1);
  EXPECT_EQ(r.results[1].name, "every split point");
  EXPECT_EQ(r.results[1].difference.positions, 4 + 3 + 2 + 1);
  EXPECT_EQ(r.results[2].name, "token by token");
  EXPECT_EQ(r.results[2].difference.positions, 4);
}

TEST(Run, TableIsThatOfTheLastPosition) {
  toy::Bugs bugs;
  bugs.logit = [](toy::Call c, float v) { return c.continues() ? v + 1 : v; };
  toy::Subject subject(bugs);
  const Ids ids{1, 2, 3, 4};
  const Logits whole = subject.fresh()->feed(ids);
  Logits with = whole;
  for (float& v : with.values) ++v;
  const Table table = run(subject, ids).table, expected = article_table(whole.row(3), with.row(3));
  EXPECT_EQ(table.without_past.values(), expected.without_past.values());
  EXPECT_EQ(table.with_past.values(), expected.with_past.values());
  EXPECT_EQ(table.absolute.values(), expected.absolute.values());
  EXPECT_EQ(table.relative.values(), expected.relative.values());
}

// Of a difference of 0.01 where the model of rounding allows far less.
TEST(Run, MeasuredRoundingGoesBeforeItsModelWithinReason) {
  toy::Bugs bugs;
  bugs.logit = [](toy::Call c, float v) { return c.continues() ? v + 0.01F : v; };
  toy::Subject subject(bugs);
  const Ids ids{1, 2, 3, 4};
  const Report plain = run(subject, ids);
  ASSERT_EQ(plain.verdict.outcome, Outcome::differs);
  ASSERT_LT(plain.bound.value, 0.005);
  const double measured = 3 * plain.bound.value;
  EXPECT_DOUBLE_EQ(run(subject, ids, {.rounding = measured}).bound.value, 4 * measured);
  EXPECT_EQ(run(subject, ids, {.rounding = plain.bound.value / 8}).bound.value, plain.bound.value);
  EXPECT_DOUBLE_EQ(run(subject, ids, {.rounding = 1}).bound.value, 64 * plain.bound.value);
  EXPECT_THAT(run(subject, ids, {.rounding = measured}).bound.reason, HasSubstr("was seen to do"));
}

// The forks' past is one and the same, and has grown beyond the context when the original is fed.
TEST(Run, AUsedPastThatIsRefusedIsAFault) {
  for (const Splits::Choice choice : {Splits::Choice::automatic, Splits::Choice::last}) {
    toy::Bugs bugs;
    bugs.context = 5;
    toy::Subject healthy(bugs);
    EXPECT_EQ(run(healthy, Ids{1, 2, 3, 4, 5}, {.splits = {choice}}).verdict.outcome, Outcome::identical);
    bugs.shares_on_fork = true;
    bugs.reported = [](std::int64_t length) { return std::min<std::int64_t>(length, 5); };
    toy::Subject subject(bugs);
    const Report r = run(subject, Ids{1, 2, 3, 4, 5}, {.splits = {choice}});
    EXPECT_EQ(r.verdict.outcome, Outcome::differs);
    EXPECT_EQ(r.evidence.again.shown, Answer::no);
    EXPECT_THAT(r.evidence.again.sentence, HasSubstr("(one past used twice, a past of "));
    EXPECT_THAT(r.evidence.again.sentence, HasSubstr("the text is longer than the context"));
    EXPECT_THAT(show::as_text(document(r)), HasSubstr("refuses to go on from a past that was used before"));
    EXPECT_THAT(report_junit(r), HasSubstr("name=\"a past that was used before is taken again\">\n      <failure"));
  }
}

// Answers with one row, whatever is fed.
struct LastRowOnly : Session, Subject {
  using Subject::feed;  // of several sessions
  Description describe() const override { return {.name = "last row only"}; }
  std::unique_ptr<Session> fresh() override { return std::make_unique<LastRowOnly>(); }
  Logits feed(std::span<const std::int32_t>) override { return {.vocab = 2, .values = {1, 2}}; }
  std::optional<std::int64_t> length() const override { return 0; }
};

TEST(Run, RefusesLogitsOfAnotherShape) {
  LastRowOnly subject;
  try {
    run(subject, Ids{1, 2, 3});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::load);
    EXPECT_THAT(e.what(), HasSubstr("expected: [3, 2]"));
  }
}

// Sound, but for the very last call, which is the control.
struct LastCallFails : Subject {
  Description describe() const override { return {.name = "last call fails", .layers = 1, .width = 1}; }
  std::unique_ptr<Session> fresh() override { return subject.fresh(); }

  LastCallFails() : subject(bugs()) {}
  toy::Bugs bugs() {
    toy::Bugs b;
    b.logit = [this](toy::Call c, float v) { return whole && c.count == 4 ? v + 1 : v; };
    return b;
  }
  bool whole = false;
  toy::Subject subject;
};

TEST(Run, ControlAloneCanBreakIt) {
  LastCallFails subject;
  const Options options{.progress = [&](std::int64_t done, std::int64_t total) { subject.whole = total - done == 4; }};
  const Report r = run(subject, Ids{1, 2, 3, 4}, options);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(r.verdict.sentence, HasSubstr("not deterministic: two equal runs without past are up to 1 apart: "));
  EXPECT_THAT(r.verdict.sentence, HasSubstr(" times what rounding could explain"));
  EXPECT_NEAR(r.evidence.noise, 1, 1e-6);  // v + 1 is rounded
}

TEST(Run, SaysWhereALateFaultBegins) {
  toy::Bugs bugs;
  bugs.logit = [](toy::Call c, float v) { return c.past == 3 ? v + 1 : v; };
  toy::Subject subject(bugs);
  const Report r = run(subject, Ids{1, 2, 3, 4, 5, 6});
  EXPECT_THAT(r.verdict.sentence, HasSubstr("first part at position 3, in a call after 3 tokens"));
  EXPECT_EQ(r.total.first, (Place{3, 3}));
}

}  // namespace
}  // namespace pkv::check
