// Recordings of a toy with one bug each, with the probes that tools/record_probes.py would have recorded of it: the
// check must name the bug. The probes' simulations come from the healthy toy, as the script's come from the healthy
// path of a model.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "checker/causes/cause.h"
#include "checker/check/document.h"
#include "checker/recorded/recorded.h"
#include "mutants/toy.h"
#include "show/document.h"

namespace pkv::check {
namespace {

using testing::HasSubstr;

using Ids = std::vector<std::int32_t>;
using toy::Bugs;
using toy::Call;

const Ids kText{3, 1, 4, 2, 5, 9, 8}, kOther{7, 6, 11, 0, 2, 1, 12};

Ids slice(const Ids& ids, std::int64_t first, std::int64_t end) { return {ids.begin() + first, ids.begin() + end}; }

Ids joined(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Logits last_rows(const Logits& all, std::int64_t rows) {
  return {all.vocab, {all.values.end() - rows * all.vocab, all.values.end()}};
}

// A toy subject, and how the script would record it.
class Recorder {
 public:
  Recorder(const Bugs& bugs, std::int64_t past) : subject_(bugs), past_(past) {}

  Logits whole(const Ids& ids) { return subject_.fresh()->feed(ids); }
  Logits after(const Ids& prefix, const Ids& rest) {
    const auto session = subject_.fresh();
    session->feed(prefix);
    return session->feed(rest);
  }

  Recording without() {
    Recording r = described();
    r.logits = whole(kText);
    r.pieces = {n()};
    r.past_lengths = {n()};
    return r;
  }

  Recording with() {
    Recording r = described();
    const auto session = subject_.fresh();
    r.pieces = {past_, n() - past_};
    r.logits = session->feed(slice(kText, 0, past_));
    r.past_lengths = {session->length()};
    const Logits rest = session->feed(slice(kText, past_, n()));
    r.logits.values.insert(r.logits.values.end(), rest.values.begin(), rest.values.end());
    r.past_lengths.push_back(session->length());
    r.probes = probes();
    return r;
  }

 private:
  static std::int64_t n() { return std::ssize(kText); }
  static Recording described() { return {.description = toy::Subject().describe(), .ids = kText, .logits = {}}; }

  Probes probes() {
    const Ids rest = slice(kText, past_, n()), prefix = slice(kText, 0, past_), other = slice(kOther, 0, past_);
    Probes p{.past = past_};
    p.runs["whole_again"] = whole(kText);
    p.runs["other_past"] = after(other, rest);
    p.runs["again"] = after(prefix, rest);
    for (std::int64_t i = 0; i < past_; ++i) {
      Ids changed = kText;
      changed[static_cast<std::size_t>(i)] = kOther[static_cast<std::size_t>(i)];
      p.runs[fmt::format("changed.{}", i)] = after(slice(changed, 0, past_), rest);
      p.runs[fmt::format("changed_whole.{}", i)] = last_rows(whole(changed), n() - past_);
    }
    for (const std::int64_t i : {std::int64_t{1}, n() / 2, n() - 1}) {
      Logits all = whole(joined(slice(kText, 0, i), slice(kOther, i, n())));
      all.values.resize(static_cast<std::size_t>(i * all.vocab));
      p.runs[fmt::format("later.{}", i)] = all;
    }
    p.supposed["new-tokens-alone"] = whole(rest);
    p.supposed["past-of-another-text"] = last_rows(whole(joined(other, rest)), n() - past_);
    return p;
  }

  toy::Subject subject_;
  std::int64_t past_;
};

// The toy computes a call after a past as it does the whole text, so a healthy toy with the fault in such calls only is
// the simulation.
void suppose(Probes& p, const std::string& cause, const Bugs& bugs) {
  toy::Subject subject(bugs);
  const auto session = subject.fresh();
  session->feed(slice(kText, 0, p.past));
  p.supposed[cause] = session->feed(slice(kText, p.past, std::ssize(kText)));
}

Bugs sees(std::function<bool(Call, std::int64_t, std::int64_t)> see) {
  Bugs b;
  b.sees = [see](Call c, std::int64_t row, std::int64_t index) {
    return c.continues() ? see(c, row, index) : index <= c.past + row;
  };
  return b;
}

Bugs at(std::function<std::int64_t(Call, std::int64_t)> position) {
  Bugs b;
  b.position = [position](Call c, std::int64_t row) { return c.continues() ? position(c, row) : row; };
  return b;
}

Bugs past_ignored() {
  return sees([](Call c, auto row, auto index) { return index >= c.past && index <= c.past + row; });
}
Bugs top_left() {
  return sees([](Call, auto row, auto index) { return index <= row; });
}
Bugs window(std::int64_t n) {
  return sees([n](Call c, auto row, auto index) { return index <= c.past + row && index > c.past + row - n; });
}
Bugs first_dropped(std::int64_t n) {
  return sees([n](Call c, auto row, auto index) { return index <= c.past + row && index >= n; });
}
Bugs later_seen() {
  return sees([](Call c, auto, auto index) { return index < c.past + c.count; });
}
Bugs restarted() {
  return at([](Call, auto row) { return row; });
}
Bugs one_far() {
  return at([](Call c, auto row) { return c.past + row + 1; });
}
Bugs one_short() {
  return at([](Call c, auto row) { return c.past + row - 1; });
}

struct Named {
  std::string cause;
  std::function<Bugs()> bugs;
};

std::vector<Named> simulated() {
  std::vector<Named> all{{"past-ignored", past_ignored},    {"top-left-mask", top_left},
                         {"later-tokens-seen", later_seen}, {"position-restarted", restarted},
                         {"position-one-far", one_far},     {"position-one-short", one_short}};
  for (std::int64_t i = 1; i <= 3; ++i) {  // all 4 of the past dropped is a past that is ignored
    all.push_back({fmt::format("window={}", i + 1), [i] { return window(i + 1); }});
    all.push_back({fmt::format("first-dropped={}", i), [i] { return first_dropped(i); }});
  }
  return all;
}

void add_simulations(Probes& p) {
  for (const Named& s : simulated()) suppose(p, s.cause, s.bugs());
  Bugs both = top_left();
  both.position = restarted().position;
  suppose(p, "top-left-mask+position-restarted", both);
  p.runs["right_mask"] = p.runs["right_positions"] =
      last_rows(toy::Subject().fresh()->feed(kText), std::ssize(kText) - p.past);
}

Report checked(const Bugs& bugs, std::int64_t past = 4, bool simulations = true) {
  Recorder recorder(bugs, past);
  Recording with = recorder.with();
  if (simulations) add_simulations(*with.probes);
  return compare_recordings(recorder.without(), with);
}

std::vector<std::string> confirmed(const Report& r) {
  std::vector<std::string> names;
  for (const Explanation& e : r.causes) {
    if (e.confirmed) names.push_back(e.cause);
  }
  return names;
}

TEST(RecordedCauses, HealthyRaisesNothing) {
  for (const std::int64_t past : {1, 2, 4, 6}) {
    const Report r = checked({}, past);
    EXPECT_EQ(r.verdict.outcome, Outcome::identical) << r.verdict.sentence;
    EXPECT_TRUE(r.causes.empty());
    EXPECT_EQ(r.evidence.used.shown, Answer::yes) << r.evidence.used.sentence;
    EXPECT_EQ(r.evidence.control.shown, Answer::yes);
    EXPECT_EQ(r.causality.holds, Answer::yes) << r.causality.sentence;
  }
}

TEST(RecordedCauses, EveryBugIsNamedByItsSimulation) {
  for (const auto& [cause, bugs] : simulated()) {
    const Report r = checked(bugs());
    EXPECT_EQ(r.verdict.outcome, Outcome::differs) << cause;
    EXPECT_THAT(confirmed(r), testing::ElementsAre(cause.substr(0, cause.find('=')))) << r.verdict.sentence;
    ASSERT_FALSE(r.causes.empty());
    EXPECT_THAT(r.causes[0].evidence, HasSubstr("3 of 3 rows of logits bit for bit")) << cause;
    if (cause.find('=') != std::string::npos) {
      const std::string number = cause.substr(cause.find('=') + 1);
      EXPECT_THAT(r.causes[0].statement, HasSubstr(number == "1" ? "the first key of the past is" : number));
    }
  }
}

TEST(RecordedCauses, TwoAtOnceAreNamed) {
  Bugs both = top_left();
  both.position = restarted().position;
  EXPECT_THAT(confirmed(checked(both)), testing::ElementsAre("top-left-mask + position-restarted"));
}

TEST(RecordedCauses, AbsentPast) {
  Bugs bugs;
  bugs.keeps_nothing = true;
  const Report r = checked(bugs);
  EXPECT_THAT(confirmed(r), testing::ElementsAre("past-absent"));
  EXPECT_EQ(r.evidence.used.shown, Answer::no);
}

TEST(RecordedCauses, PastOfAnotherText) {
  Bugs bugs;
  bugs.finds_prefix_by_length = true;
  Recorder recorder(bugs, 4);
  recorder.after(slice(kOther, 0, 4), slice(kText, 4, 7));  // someone else was there first
  const Recording with = recorder.with();
  const Report r = compare_recordings(recorder.without(), with);
  EXPECT_THAT(confirmed(r), testing::Contains("past-of-another-text")) << r.verdict.sentence;
}

// Of every cause, certain or not.
std::vector<std::string> told(const Report& r) {
  std::vector<std::string> names;
  for (const Explanation& e : r.causes) names.push_back(e.cause);
  return names;
}

// Where what is hidden differs from one new token to the next it is a mask. Where it does not, it may as well be that
// nothing of use is stored there.
TEST(RecordedCauses, MasksAreSeenInWhatChanges) {
  EXPECT_THAT(confirmed(checked(top_left(), 4, false)), testing::ElementsAre("top-left-mask"));
  EXPECT_THAT(confirmed(checked(window(3), 4, false)), testing::ElementsAre("window"));
  EXPECT_THAT(told(checked(past_ignored(), 4, false)), testing::Contains("past-ignored"));
  EXPECT_THAT(told(checked(top_left(), 6, false)), testing::Contains("top-left-mask"));
  EXPECT_THAT(told(checked(first_dropped(2), 4, false)), testing::Contains("first-dropped"));
  EXPECT_THAT(told(checked(window(3), 6, false)), testing::IsSupersetOf({"first-dropped", "window"}));
  for (const Bugs& bugs : {past_ignored(), first_dropped(2)})
    EXPECT_THAT(confirmed(checked(bugs, 4, false)), testing::IsEmpty());
  for (const Bugs& bugs : {top_left(), window(3)}) EXPECT_THAT(confirmed(checked(bugs, 6, false)), testing::IsEmpty());
}

// The past of a text that nobody recorded: no change of the right past is noticed, as if it were ignored. The
// simulation of that is in the file, and is not what was seen.
TEST(RecordedCauses, AStalePastIsNotAnIgnoredOne) {
  Bugs bugs;
  bugs.finds_prefix_by_length = true;
  Recorder recorder(bugs, 4);
  recorder.after({10, 10, 12, 3}, slice(kText, 4, 7));  // someone else was there first
  Recording with = recorder.with();
  const Recording without = recorder.without();
  EXPECT_THAT(told(compare_recordings(without, with)), testing::Contains("past-ignored"));
  add_simulations(*with.probes);
  const Report r = compare_recordings(without, with);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(told(r), testing::Not(testing::Contains("past-ignored")));
  EXPECT_THAT(confirmed(r), testing::IsEmpty());
}

TEST(RecordedCauses, WhatNothingExplainsIsUnknown) {
  Bugs bugs;
  bugs.logit = [](Call c, float v) { return c.continues() ? -v : v; };
  const Report r = checked(bugs);
  EXPECT_TRUE(confirmed(r).empty());
  EXPECT_GT(r.causes_tried, 5);
}

Report looking_ahead(const std::function<void(Probes&, const Recording& without)>& change) {
  Bugs bugs;
  bugs.sees = [](Call, auto, auto) { return true; };
  Recorder recorder(bugs, 4);
  const Recording without = recorder.without();
  Recording with = recorder.with();
  change(*with.probes, without);
  return compare_recordings(without, with);
}

TEST(RecordedCauses, LookingAheadIsSeenByTheLaterTokens) {
  const Report r = looking_ahead([](Probes& p, const Recording& without) {
    p.runs["batched"] = last_rows(without.logits, 3);  // its neighbour does not move it
  });
  EXPECT_EQ(r.causality.holds, Answer::no);
  EXPECT_THAT(confirmed(r), testing::Contains("attends-both-ways"));
  EXPECT_THAT(r.verdict.sentence, HasSubstr("looks ahead"));
}

// Outlier columns of the call, or a choice among all rows of it, also let later tokens move earlier ones.
TEST(RecordedCauses, WhatNeighboursMoveDoesNotAttendBothWays) {
  const Report r = looking_ahead([](Probes& p, const Recording& without) {
    p.runs["batched"] = last_rows(without.logits, 3);
    for (float& v : p.runs["batched"].values) v += 2;
  });
  EXPECT_EQ(r.causality.holds, Answer::no);
  EXPECT_THAT(confirmed(r), testing::ElementsAre("rows-not-independent"));
}

// A mask that hides later tokens changes what the model gives: it had attended to them.
TEST(RecordedCauses, WhatARightMaskChangesAttendsBothWays) {
  const Report r = looking_ahead([](Probes& p, const Recording& without) {
    p.runs["batched"] = p.runs["right_mask"] = last_rows(without.logits, 3);
  });
  EXPECT_THAT(confirmed(r), testing::IsEmpty()) << "the mask may not have been taken";
  const Report masked = looking_ahead([](Probes& p, const Recording& without) {
    p.runs["batched"] = p.runs["right_mask"] = last_rows(without.logits, 3);
    for (float& v : p.runs["right_mask"].values) v += 1;
  });
  EXPECT_THAT(confirmed(masked), testing::ElementsAre("attends-both-ways"));
}

TEST(RecordedCauses, WhatARightMaskDoesNotChangeDoesNotAttendBothWays) {
  const Report r = looking_ahead([](Probes& p, const Recording& without) {
    p.runs["batched"] = p.runs["right_mask"] = p.supposed["window=2"] = last_rows(without.logits, 3);
    EXPECT_FALSE(p.supposed["window=2"].values.empty());
    p.supposed["window=2"].values[0] += 3;  // masks are heeded
  });
  EXPECT_THAT(told(r), testing::Not(testing::Contains("attends-both-ways")));
}

// The beginning is other than in the whole text, and no later token is the reason.
TEST(RecordedCauses, PaddingThatMovesABeginningIsNoMatterOfLength) {
  Recorder recorder({}, 4);
  Recording with = recorder.with();
  with.padding = 3;
  for (std::size_t i = 0; i < 4 * 13; ++i) with.logits.values[i] += 1;
  const Report r = compare_recordings(recorder.without(), with);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(r.verdict.sentence, testing::StartsWith("behind 3 tokens of padding"));
  EXPECT_THAT(r.notes, testing::Contains(HasSubstr("behind 3 tokens of padding")));
}

TEST(RecordedCauses, ALengthThatMattersIsNoLookAhead) {
  Bugs bugs;
  bugs.logit = [](Call c, float v) { return v * (1 + 0.05f * static_cast<float>(c.past + c.count)); };
  const Report r = checked(bugs);
  EXPECT_EQ(r.causality.holds, Answer::yes) << r.causality.sentence;
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(r.verdict.sentence, HasSubstr("logits depend on how many tokens the call has"));
  EXPECT_THAT(r.verdict.sentence, testing::Not(HasSubstr("ahead")));
}

TEST(RecordedCauses, MasksThatTheModelDoesNotTakeProveNothing) {
  Recorder recorder(top_left(), 4);
  Recording with = recorder.with();
  add_simulations(*with.probes);
  with.probes->runs.at("right_mask") = with.probes->supposed.at("window=2");
  with.probes->runs.erase("changed.1");
  with.probes->runs.erase("changed.2");
  with.probes->runs.erase("changed.3");
  EXPECT_TRUE(confirmed(compare_recordings(recorder.without(), with)).empty());
}

Recording with_added(Recording r, float by) {
  for (std::size_t i = static_cast<std::size_t>(4 * r.logits.vocab); i < r.logits.values.size(); ++i) {
    r.logits.values[i] += by;
  }
  return r;
}

// Healthy runs in bf16, and the same in fp32: `by` moves the logits of the run with the past.
struct Narrow {
  Recording without, with;

  explicit Narrow(float by, std::int64_t past = 4)
      : without(Recorder({}, past).without()), with(Recorder({}, past).with()) {
    without.description.format = with.description.format = "bf16";
    Probes& p = *with.probes;
    p.wide_format = "fp32";
    p.runs["wide_without"] = p.runs["wide_with"] = p.runs.at("again");
    for (std::size_t i = 0; i < p.runs["wide_without"].values.size(); ++i) {  // what rounding does to both
      p.runs["wide_without"].values[i] += 0.05f, p.runs["wide_with"].values[i] += 0.05f;
    }
    p.runs["wide_with"].values[0] += 2e-6f;
    with = with_added(with, by);
    for (float& v : p.runs["again"].values) v += by;
  }
  Probes& probes() { return *with.probes; }
  Report report() const { return compare_recordings(without, with); }
};

std::string as_text(const Report& r) { return show::as_text(document(r)); }

TEST(RecordedCauses, RoundingIsProvenBySymmetry) {
  const Report r = Narrow(0.08f).report();
  EXPECT_EQ(r.verdict.outcome, Outcome::within_rounding) << as_text(r);
  EXPECT_THAT(confirmed(r), testing::ElementsAre("rounding"));
  EXPECT_THAT(r.verdict.reasons, testing::Contains(HasSubstr("one that is there in fp32, too, would show from")));
  EXPECT_LT(r.bound.value, 0.2);
}

// A past that another text's spoils, by less than the bound: of that there is no wide run, so that nothing is proven.
TEST(RecordedCauses, RoundingIsNotProvenOfUsesThatWereNotRunWide) {
  for (const auto& [by, named] : {std::pair{0.08f, true}, {0.19f, false}}) {
    Narrow runs(-0.02f);
    runs.probes().runs["beside_another"] = last_rows(runs.without.logits, 3);
    for (float& v : runs.probes().runs["beside_another"].values) v += by;
    const Report r = runs.report();
    EXPECT_EQ(r.verdict.outcome, Outcome::within_rounding) << as_text(r);
    EXPECT_EQ(confirmed(r).size() == 1, named) << as_text(r);
  }
}

// A kernel of one format loses keys: in the wider one nothing is wrong, and only one of the two runs is far from it.
TEST(RecordedCauses, AFaultOfOneFormatIsNoRounding) {
  for (const float by : {0.6f, 3.2f}) {
    const Report r = Narrow(by).report();
    EXPECT_EQ(r.verdict.outcome, Outcome::differs) << as_text(r);
    EXPECT_THAT(told(r), testing::Not(testing::Contains("rounding")));
    EXPECT_THAT(as_text(r), testing::Not(HasSubstr("nothing is wrong")));
    EXPECT_THAT(r.verdict.sentence, HasSubstr("In fp32 the same two runs agree"));
  }
}

TEST(RecordedCauses, AFaultBelowTheBoundShowsInTheWiderFormat) {
  Narrow runs(0.08f);
  for (float& v : runs.probes().runs["wide_with"].values) v += 0.08f;
  const Report r = runs.report();
  EXPECT_LT(r.total.max_abs, r.bound.value);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs) << as_text(r);
  EXPECT_THAT(r.verdict.sentence, HasSubstr("In fp32, where rounding could explain"));
  EXPECT_THAT(told(r), testing::Not(testing::Contains("rounding")));
}

// The last token is healthy, in both formats; those before it, of which there is no wide run, are not.
TEST(RecordedCauses, WideRunsProveOnlyWhatTheyCover) {
  Narrow runs(0, 6);
  runs.with.pieces = {1, 1, 1, 1, 1, 1, 1};
  runs.with.past_lengths = {1, 2, 3, 4, 5, 6, 7};
  for (std::size_t i = 0; i < 13; ++i) runs.with.logits.values[3 * 13 + i] += 3;
  Report r = runs.report();
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(told(r), testing::IsEmpty());
  // Where the wide runs are of the whole text, its every position counts.
  runs = Narrow(0, 6);
  for (const char* name : {"wide_without", "wide_with"}) {
    runs.probes().runs[name] = runs.without.logits;
    for (float& v : runs.probes().runs[name].values) v += 0.05f;
  }
  EXPECT_EQ(runs.report().verdict.outcome, Outcome::identical);
  for (std::size_t i = 0; i < 13; ++i) runs.probes().runs["wide_with"].values[3 * 13 + i] += 0.5f;
  EXPECT_EQ(runs.report().verdict.outcome, Outcome::differs);
}

TEST(RecordedCauses, WithoutWiderRunsTheBlindSpotIsSaid) {
  Narrow runs(0.08f);
  runs.probes().runs.erase("wide_with");
  const Report r = runs.report();
  EXPECT_EQ(r.verdict.outcome, Outcome::within_rounding);
  EXPECT_TRUE(r.causes.empty()) << "rounding is proven, not assumed";
  ASSERT_TRUE(blind_spot(r));
  EXPECT_EQ(*blind_spot(r), r.bound.value);
  EXPECT_THAT(r.verdict.reasons, testing::Contains(HasSubstr("would look the same here")));
  EXPECT_THAT(report_json(r), HasSubstr("\"blind_spot\": "));
  for (const std::string& text : {as_text(r), show::as_markdown(document(r)), show::as_html(document(r))}) {
    EXPECT_THAT(text, HasSubstr("would look the"));
  }
}

// Its rounding could explain as much, which does not prove that it does.
TEST(RecordedCauses, APastInFewerBitsIsAGuess) {
  Recorder recorder({}, 4);
  Recording with = with_added(recorder.with(), 5e-3f);
  EXPECT_THAT(told(compare_recordings(recorder.without(), with)), testing::IsEmpty());
  with.description.past_format = "fp16";
  EXPECT_THAT(told(compare_recordings(recorder.without(), with)), testing::ElementsAre("past-in-fp16"));
  EXPECT_THAT(confirmed(compare_recordings(recorder.without(), with)), testing::IsEmpty());
}

TEST(RecordedCauses, RowsThatDependOnTheirNeighbours) {
  Recorder recorder({}, 4);
  Recording with = with_added(recorder.with(), 0.5f);
  with.probes->runs["batched"] = with.probes->runs.at("again");
  EXPECT_TRUE(confirmed(compare_recordings(recorder.without(), with)).empty());
  with.probes->runs["batched"].values[0] += 1;
  EXPECT_THAT(confirmed(compare_recordings(recorder.without(), with)), testing::ElementsAre("rows-not-independent"));
}

TEST(RecordedCauses, ASecondUseCountsWhereThePastSaysItIsUnchanged) {
  Recorder recorder({}, 4);
  Recording with = recorder.with();
  with.probes->runs["twice"] = with.probes->runs.at("other_past");
  with.probes->twice_lengths = {7, 10};
  Report r = compare_recordings(recorder.without(), with);
  EXPECT_TRUE(r.verdict.holds());
  EXPECT_THAT(r.notes, testing::Contains(HasSubstr("holds 7 tokens after its first use")));
  with.probes->twice_lengths = {4, 4};
  r = compare_recordings(recorder.without(), with);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(confirmed(r), testing::ElementsAre("past-changed-in-place"));
}

// Of a large vocabulary: the rows that decide.
void keep_rows(Recording& r, const Places& at) {
  Logits some{r.logits.vocab, {}};
  for (const std::int64_t place : at) {
    const auto row = r.logits.row(place);
    some.values.insert(some.values.end(), row.begin(), row.end());
  }
  r.logits = some;
  r.at = at;
}

void keep_rows(Recording& r, const std::string& run, const Places& at) {
  Recording of_run{.description = {}, .ids = r.ids, .logits = r.probes->runs.at(run)};
  keep_rows(of_run, at);
  r.probes->runs[run] = of_run.logits;
  r.probes->at[run] = at;
}

Recording few_rows(Recording r) {
  keep_rows(r, {0, 2, 4, 5, 6});
  if (!r.probes) return r;
  r.probes->rows = 3;
  keep_rows(r, "whole_again", {0, 6});
  keep_rows(r, "later.3", {0, 2});
  keep_rows(r, "later.6", {4, 5});
  return r;
}

TEST(RecordedCauses, FewRowsTellTheSame) {
  for (const auto& [cause, bugs] : simulated()) {
    Recorder recorder(bugs(), 4);
    Recording with = recorder.with();
    add_simulations(*with.probes);
    const Report r = compare_recordings(few_rows(recorder.without()), few_rows(with));
    EXPECT_THAT(confirmed(r), testing::ElementsAre(cause.substr(0, cause.find('=')))) << r.verdict.sentence;
    EXPECT_EQ(r.causality.holds, Answer::yes) << r.causality.sentence;
    EXPECT_EQ(r.evidence.control.shown, Answer::yes);
    EXPECT_THAT(r.notes, testing::Contains("Logits of 5 of 7 positions are in both recordings, and compared."));
  }
  Bugs looks_ahead;
  looks_ahead.sees = [](Call, auto, auto) { return true; };
  Recorder recorder(looks_ahead, 4);
  const Report r = compare_recordings(few_rows(recorder.without()), few_rows(recorder.with()));
  EXPECT_EQ(r.causality.holds, Answer::no) << r.causality.sentence;
}

TEST(RecordedCauses, SuppositionsInAWiderFormatAreHeldAgainstTheRunThere) {
  Recorder recorder({}, 4), wide(top_left(), 4);
  Recording without = recorder.without(), with = wide.with();
  with.description.values_format = without.description.values_format = "bf16";
  add_simulations(*with.probes);
  with.probes->wide_format = "fp32";
  with.probes->supposed_for = "wide_with";
  with.probes->runs["wide_without"] = without.logits;
  with.probes->runs["wide_with"] = with.logits;
  for (float& x : with.logits.values) x += 0.01f;  // rounding
  EXPECT_THAT(confirmed(compare_recordings(without, with)), testing::ElementsAre("top-left-mask"));
}

TEST(RecordedCauses, PastsThatAreNotUsedAlone) {
  const auto told = [](const std::string& run, const std::string& like) {
    Recorder recorder({}, 4);
    Recording with = recorder.with();
    for (const char* name : {"beside_another", "batched_past", "forked", "cropped"}) {
      with.probes->runs[name] = with.probes->runs.at("again");
    }
    with.probes->runs["batched_other_past"] = with.probes->runs.at("other_past");
    with.probes->supposed["past-changed-in-place"] = with.probes->supposed["past-not-rewound"] =
        with.probes->supposed.at("new-tokens-alone");
    if (!run.empty()) {
      with.probes->runs[run] = like.empty()      ? with.probes->runs.at("other_past")
                               : like == "right" ? with.probes->runs.at("again")
                                                 : with.probes->supposed.at(like);
    }
    return compare_recordings(recorder.without(), with);
  };
  EXPECT_TRUE(told("", "").verdict.holds());
  EXPECT_THAT(confirmed(told("beside_another", "")), testing::ElementsAre("past-shared"));
  EXPECT_TRUE(confirmed(told("other_past", "new-tokens-alone")).empty());
  EXPECT_EQ(told("other_past", "new-tokens-alone").verdict.outcome, Outcome::differs);
  EXPECT_THAT(confirmed(told("other_past", "right")), testing::ElementsAre("past-of-another-text"));
  EXPECT_THAT(confirmed(told("batched_past", "")), testing::ElementsAre("batch-rows-mixed"));
  EXPECT_THAT(confirmed(told("forked", "past-changed-in-place")), testing::ElementsAre("past-changed-in-place"));
  EXPECT_THAT(confirmed(told("cropped", "past-not-rewound")), testing::ElementsAre("past-not-rewound"));
  const Report other = told("cropped", "");
  EXPECT_EQ(other.verdict.outcome, Outcome::differs);
  EXPECT_TRUE(confirmed(other).empty());
}

TEST(RecordedCauses, WhatWasLeftOutIsSaid) {
  Recorder recorder({}, 4);
  Recording with = recorder.with();
  with.probes->left_out = {"probe.cropped: the past cannot be cut"};
  EXPECT_THAT(compare_recordings(recorder.without(), with).notes,
              testing::Contains("Not recorded: probe.cropped: the past cannot be cut."));
}

// Of rows that depend on their neighbours by 1, that is no reason for a difference of 9.
TEST(RecordedCauses, NeighboursExplainNoMoreThanTheyMove) {
  Recorder recorder({}, 4);
  Recording with = with_added(recorder.with(), 9);
  with.probes->runs["batched"] = with.probes->runs.at("again");
  with.probes->runs["batched"].values[0] += 1;
  EXPECT_THAT(confirmed(compare_recordings(recorder.without(), with)), testing::IsEmpty());
}

// What all that was fed would have given is in the file, and is not what the second use gave.
TEST(RecordedCauses, ASecondUseThatIsNotWhatItWouldBeIsAGuess) {
  Recorder recorder({}, 4);
  Recording with = recorder.with();
  with.probes->runs["twice"] = with.probes->runs.at("other_past");
  with.probes->twice_lengths = {4, 4};
  with.probes->supposed["past-changed-in-place"] = with.probes->runs.at("other_past");
  EXPECT_THAT(confirmed(compare_recordings(recorder.without(), with)), testing::ElementsAre("past-changed-in-place"));
  with.probes->supposed["past-changed-in-place"].values[2] += 1;
  const Report r = compare_recordings(recorder.without(), with);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(confirmed(r), testing::IsEmpty());
  EXPECT_THAT(told(r), testing::ElementsAre("past-changed-in-place"));
}

TEST(RecordedCauses, ChangesFromRunToRun) {
  Recorder recorder({}, 4);
  Recording with = with_added(recorder.with(), 0.5f);
  with.probes->runs["whole_again"].values[3] += 2;
  const Report r = compare_recordings(recorder.without(), with);
  EXPECT_THAT(told(r), testing::ElementsAre("not-deterministic"));
  EXPECT_THAT(r.verdict.sentence, testing::StartsWith("not deterministic"));
  EXPECT_FLOAT_EQ(static_cast<float>(r.evidence.noise), 2);
}

// Chance makes earlier logits move, and may look like any cause.
TEST(RecordedCauses, ChanceOutranksWhateverItLooksLike) {
  Recorder recorder(top_left(), 4);
  Recording with = recorder.with();
  add_simulations(*with.probes);
  with.probes->runs["whole_again"].values[3] += 2;
  with.probes->runs["later.1"].values[0] += 1;
  const Report r = compare_recordings(recorder.without(), with);
  EXPECT_THAT(told(r), testing::ElementsAre("not-deterministic"));
  EXPECT_THAT(r.verdict.sentence, testing::StartsWith("not deterministic"));
}

TEST(RecordedCauses, ChanceWithAPastOnly) {
  Recorder recorder({}, 4);
  Recording with = with_added(recorder.with(), 0.5f);
  with.probes->runs["again"].values[3] += 2;
  const Logits second = with.probes->runs["again"];
  with.probes->runs["again_alike"] = second;
  with.probes->runs["again_alike"].values[5] += 2;
  const Report r = compare_recordings(recorder.without(), with);
  EXPECT_EQ(r.evidence.repeats.shown, Answer::no);
  EXPECT_THAT(confirmed(r), testing::ElementsAre("not-deterministic"));
  EXPECT_THAT(r.causes[0].evidence, testing::StartsWith("only with a past"));
  // A program that hands out the logits of the call before gives others after another text, and none by chance.
  with.probes->runs["again_alike"] = second;
  const Report same = compare_recordings(recorder.without(), with);
  EXPECT_EQ(same.verdict.outcome, Outcome::differs);
  EXPECT_THAT(told(same), testing::Not(testing::Contains("not-deterministic")));
  with.probes->runs.erase("again_alike");
  const Report unknown = compare_recordings(recorder.without(), with);
  EXPECT_THAT(confirmed(unknown), testing::IsEmpty());
  EXPECT_THAT(told(unknown), testing::Contains("not-deterministic"));
}

TEST(RecordedCauses, OnlyTheFirstCallIsAFinding) {
  Recorder recorder(top_left(), 4);
  Recording with = recorder.with();
  add_simulations(*with.probes);
  with.probes->runs["again"] = last_rows(recorder.without().logits, 3);
  const Report r = compare_recordings(recorder.without(), with);
  EXPECT_EQ(r.evidence.repeats.shown, Answer::no);
  EXPECT_THAT(r.evidence.repeats.sentence, HasSubstr("only the first call went wrong"));
  EXPECT_THAT(as_text(r), HasSubstr("only the first call went wrong"));
  EXPECT_THAT(confirmed(r), testing::ElementsAre("top-left-mask"));
}

TEST(RecordedCauses, StatesShowTheFirstLayerThatParts) {
  Recorder recorder(top_left(), 4);
  Recording without = recorder.without(), with = recorder.with();
  const auto n = kText.size();
  without.states = {.width = 1,
                    .layers = {std::vector<float>(n, 1), std::vector<float>(n, 2), std::vector<float>(n, 3)}};
  with.states = without.states;
  with.states.layers[2][4] = 9;
  const Report r = compare_recordings(without, with);
  ASSERT_TRUE(r.parting.has_value());
  EXPECT_EQ(r.parting->past, 4);
  EXPECT_EQ(r.parting->position, 4);
  EXPECT_EQ(r.parting->layer, 1);
  ASSERT_EQ(r.layers.size(), 3u);
  EXPECT_EQ(r.layers[2].max_abs, 6);
}

std::string error_of(const std::function<void(Recording&)>& spoil) {
  Recorder recorder({}, 4);
  Recording with = recorder.with();
  spoil(with);
  try {
    compare_recordings(recorder.without(), with);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(RecordedCauses, ErrorsSayWhatIsWrong) {
  EXPECT_THAT(error_of([](Recording& r) { r.probes->past = 7; }), HasSubstr("probes' past is not within the text"));
  EXPECT_THAT(error_of([](Recording& r) { r.probes->runs["again"].values.pop_back(); }),
              HasSubstr("toy: 'probe.again': not a recording: a probe has the wrong shape"));
  EXPECT_THAT(error_of([](Recording& r) { r.probes->runs["changed.4"] = r.probes->runs["again"]; }),
              HasSubstr("a probe of a token that is not there"));
  EXPECT_THAT(error_of([](Recording& r) { r.probes->runs["later.x"] = r.probes->runs["again"]; }),
              HasSubstr("a probe of a token that is not there"));
  EXPECT_THAT(error_of([](Recording& r) {
                r.probes->supposed["window=2"] = {.vocab = 2, .values = {1, 2}};
              }),
              HasSubstr("'suppose.window=2'"));
  EXPECT_THAT(error_of([](Recording& r) { r = few_rows(r), r.at = {0, 4, 2, 5, 6}; }), HasSubstr("not in order"));
  EXPECT_THAT(error_of([](Recording& r) { keep_rows(r, {0, 4, 5}); }), HasSubstr("the last token are missing"));
  EXPECT_THAT(error_of([](Recording& r) { keep_rows(r, {0, 5, 6}); }), HasSubstr("a probed token are missing"));
  EXPECT_THAT(error_of([](Recording& r) { r.probes->at["later.3"] = {0, 7, 8}; }), HasSubstr("'rows.probe.later.3'"));
  EXPECT_THAT(error_of([](Recording& r) {
                r.states = {.width = 2, .layers = {{1, 2, 3}}};
              }),
              HasSubstr("a state for every token"));
}

}  // namespace
}  // namespace pkv::check
