// Every planted bug must be found, whatever the text; healthy systems must pass in silence.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "checker/check/check.h"
#include "mutants/toy.h"

namespace pkv {
namespace {

using check::Outcome;
using toy::Bugs;
using toy::Call;
using Ids = std::vector<std::int32_t>;

struct Mutant {
  std::string name;
  Bugs bugs;
  std::optional<Outcome> outcome = Outcome::differs;  // none: any that does not hold
  std::int64_t least_tokens = 2;                      // the shortest text in which the bug does anything
  bool promises = false;
  std::string says = {};   // part of the verdict's sentence; empty: what the outcome says of numbers alone
  std::string cause = {};  // the one that is confirmed; empty: none is, and any name would be wrong
  bool always_named = true;

  std::string words() const {
    if (!says.empty()) return says;
    if (outcome == Outcome::not_finite) return "logits are NaN or infinite, first at ";
    if (outcome == Outcome::within_rounding) return "rounding alone could explain ";
    return "in pieces, the text gets other logits than fed whole. They first part at ";
  }
};

void PrintTo(const Mutant& m, std::ostream* os) { *os << m.name; }

Bugs position(std::function<std::int64_t(Call, std::int64_t)> rule) {
  Bugs b;
  b.position = [rule = std::move(rule)](Call c, std::int64_t row) { return c.continues() ? rule(c, row) : row; };
  return b;
}

// For calls that go on from a past; what else is fed is seen as it should.
Bugs sees(std::function<bool(Call, std::int64_t row, std::int64_t index)> rule) {
  Bugs b;
  b.sees = [rule = std::move(rule)](Call c, std::int64_t row, std::int64_t index) {
    return index <= c.past + row && (!c.continues() || rule(c, row, index));
  };
  return b;
}

Bugs logit(std::function<float(Call, float)> rule) {
  Bugs b;
  b.logit = [rule = std::move(rule)](Call c, float v) { return c.continues() ? rule(c, v) : v; };
  return b;
}

Bugs reported(std::function<std::int64_t(std::int64_t)> rule) {
  Bugs b;
  b.reported = std::move(rule);
  return b;
}

Bugs with(const std::function<void(Bugs&)>& plant) {
  Bugs b;
  plant(b);
  return b;
}

// A little more or less at each logit ever computed: what a race looks like.
Bugs nondeterministic(float size) {
  auto computed = std::make_shared<std::uint64_t>(0);
  return with([&](Bugs& b) {
    b.logit = [computed, size](Call, float v) { return v + size * random_signed(1, (*computed)++); };
  });
}

// Off by a little at one kind of call.
Bugs fault_if(std::function<bool(Call)> when) {
  return logit([when = std::move(when)](Call c, float v) { return when(c) ? v + 0.01f : v; });
}

std::vector<Mutant> past_mutants() {
  const auto ignored = [](Call c, std::int64_t, std::int64_t i) { return i >= c.past; };
  return {
      {"past_ignored", sees(ignored), Outcome::differs},
      {"past_ignored_and_position_kept_in_steps",
       sees([=](Call c, auto r, auto i) { return c.count > 1 || ignored(c, r, i); })},
      {"past_absent", with([](Bugs& b) { b.keeps_nothing = true; }), Outcome::differs, 2, false, "no past was kept",
       "past-absent"},
      {"past_absent_though_it_promises", with([](Bugs& b) { b.keeps_nothing = true; }), Outcome::differs, 2, true,
       "no past was kept", "past-absent"},
      {"prefix_found_by_length", with([](Bugs& b) { b.finds_prefix_by_length = true; }), std::nullopt, 3, false,
       "another text", "past-of-another-text"},
      {"past_of_another_text",
       with([](Bugs& b) { b.swaps_text = true; }),
       Outcome::differs,
       2,
       false,
       {},
       "past-of-another-text",
       false},
      {"last_of_past_dropped", sees([](Call c, auto, auto i) { return i != c.past - 1; })},
      {"first_of_past_dropped", sees([](Call, auto, auto i) { return i != 0; })},
      {"second_of_past_dropped", sees([](Call c, auto, auto i) { return i != 1 || c.past < 2; }), Outcome::differs, 3},
      {"window_of_8_in_the_past_only", sees([](Call c, auto r, auto i) { return i > c.past + r - 8; }),
       Outcome::differs, 10},
  };
}

std::vector<Mutant> mask_mutants() {
  const auto everything = [](Call, auto, auto) { return true; };
  return {
      {"only_token_0_in_steps", sees([](Call c, auto, auto i) { return c.count > 1 || i == 0; })},
      {"mask_from_top_left_in_chunks", sees([](Call c, auto r, auto i) { return c.count == 1 || i <= r; }),
       Outcome::differs, 3},
      {"chunk_sees_its_own_future",
       with([](Bugs& b) { b.sees = [](Call c, auto r, auto i) { return c.continues() || i <= c.past + r; }; }),
       Outcome::differs, 3},
      {"past_ignored_in_chunks", sees([](Call c, auto, auto i) { return c.count == 1 || i >= c.past; }),
       Outcome::differs, 3},
      {"attends_both_ways", with([=](Bugs& b) { b.sees = everything; }), Outcome::differs, 2, false, "looks ahead",
       "attends-both-ways"},
  };
}

std::vector<Mutant> position_mutants() {
  return {
      {"position_one_too_far", position([](Call c, auto r) { return c.past + r + 1; })},
      {"position_one_short", position([](Call c, auto r) { return c.past + r - 1; })},
      {"position_restarts", position([](Call, auto r) { return r; })},
      {"position_stands_still_in_chunks", position([](Call c, auto) { return c.past; }), Outcome::differs, 3},
      {"position_stops_at_16", position([](Call c, auto r) { return std::min<std::int64_t>(c.past + r, 16); }),
       Outcome::differs, 18},
  };
}

std::vector<Mutant> power_mutants() {
  return {
      {"fork_shares_the_past", with([](Bugs& b) { b.shares_on_fork = true; }), Outcome::differs, 2, false,
       "the past holds", "past-changed-in-place"},
      {"rewind_forgets_one_too_few", with([](Bugs& b) { b.rewind_error = 1; })},
      {"rewind_forgets_one_too_many", with([](Bugs& b) { b.rewind_error = -1; })},
      {"rewind_does_nothing", with([](Bugs& b) { b.ignores_rewind = true; }), Outcome::differs, 2, false,
       "the past holds", "past-not-rewound"},
      {"one_buffer_for_all", with([](Bugs& b) { b.one_buffer = true; }), Outcome::differs, 2, false, {}, "past-shared"},
      {"batches_are_mixed",
       with([](Bugs& b) { b.mixes_batches = true; }),
       Outcome::differs,
       2,
       false,
       {},
       "batch-rows-mixed"},
      {"reports_one_too_few", reported([](auto n) { return n - 1; }), Outcome::differs, 2, false, "the past holds"},
      {"reports_one_too_many", reported([](auto n) { return n + 1; }), Outcome::differs, 2, false, "the past holds"},
      {"reports_nothing", reported([](auto) { return 0; }), Outcome::empty, 2, false, "no past was kept"},
  };
}

std::vector<Mutant> number_mutants() {
  const auto nan = std::numeric_limits<float>::quiet_NaN();
  const auto rounded = logit([](Call, float v) { return v * (1 + 1.2e-7f); });
  return {
      {"nan_with_past", logit([=](Call, float) { return nan; }), Outcome::not_finite},
      {"nan_always", with([=](Bugs& b) { b.logit = [=](Call, float) { return nan; }; }), Outcome::not_finite},
      {"infinite_with_past", logit([](Call, float) { return std::numeric_limits<float>::infinity(); }),
       Outcome::not_finite},
      {"rounds", rounded, Outcome::within_rounding},
      {"rounds_though_it_promises", rounded, Outcome::differs, 2, true, "promises the same bits"},
      {"zeros_change_sign_though_it_promises", with([](Bugs& b) {
         b.logit = [](Call c, float v) { return v > 3 ? v : c.continues() ? -0.0f : 0.0f; };
       }),
       Outcome::differs, 4, true, "promises the same bits"},
      {"not_deterministic", nondeterministic(0.1f), Outcome::differs, 2, false, "not deterministic",
       "not-deterministic"},
      {"a_little_not_deterministic", nondeterministic(2e-7f), Outcome::within_rounding, 2, false, {}, "rounding"},
      {"a_little_not_deterministic_though_it_promises", nondeterministic(2e-7f), Outcome::differs, 2, true,
       "not deterministic", "not-deterministic"},
      {"fault_after_64_tokens", fault_if([](Call c) { return c.past + c.count > 64; }), Outcome::differs, 65},
      {"fault_only_at_split_3", fault_if([](Call c) { return c.past == 3 && c.count != 1; }), Outcome::differs, 5},
      {"fault_in_long_chunks", fault_if([](Call c) { return c.count >= 32; }), Outcome::differs, 33},
      {"context_without_influence",
       with([](Bugs& b) { b.sees = [](Call c, auto r, auto i) { return i == c.past + r; }; }), Outcome::empty, 2, false,
       "not used"},
  };
}

std::vector<Mutant> all_mutants() {
  std::vector<Mutant> all;
  for (const auto& some : {past_mutants(), mask_mutants(), position_mutants(), power_mutants(), number_mutants()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

Ids draw_text(std::int64_t least, std::int64_t most) {
  const auto n = *rc::gen::inRange<std::int64_t>(least, most + 1);
  return *rc::gen::container<Ids>(static_cast<std::size_t>(n), rc::gen::inRange<std::int32_t>(0, toy::vocab));
}

// Tokens side by side differ; otherwise dropping one of two equal ones may leave the logits as they are.
Ids varied(Ids ids) {
  constexpr auto size = static_cast<std::int32_t>(toy::vocab);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = (ids[i] + 5 * static_cast<std::int32_t>(i)) % size;
  for (std::size_t i = 1; i < ids.size(); ++i) {
    if (ids[i] == ids[i - 1]) ids[i] = (ids[i] + 1) % size;
  }
  return ids;
}

template <class Property>
void holds(int cases, const Property& property) {
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = cases;
  const auto result = rc::detail::checkTestable(property, rc::detail::TestMetadata{}, params);
  std::ostringstream message;
  rc::detail::printResultMessage(result, message);
  EXPECT_TRUE(result.template is<rc::detail::SuccessResult>())
      << message.str() << "\nrepeat with RC_PARAMS=\"seed=" << params.seed << "\"";
}

// All that is claimed, "a, b".
std::string confirmed(const check::Report& report) {
  std::string all;
  for (const check::Explanation& e : report.causes) {
    if (e.confirmed) all += (all.empty() ? "" : ", ") + e.cause;
  }
  return all;
}

class Mutants : public testing::TestWithParam<Mutant> {};

TEST_P(Mutants, IsFound) {
  const Mutant& m = GetParam();
  holds(10, [&] {
    const Ids ids = varied(draw_text(m.least_tokens, m.least_tokens + 12));
    toy::Subject subject(m.bugs, m.promises);
    const check::Report report = check::run(subject, ids);
    RC_LOG() << show::as_text(check::document(report));
    if (m.outcome) {
      RC_ASSERT(check::name_of(report.verdict.outcome) == check::name_of(*m.outcome));
    } else {
      RC_ASSERT(!report.verdict.holds());
    }
    RC_ASSERT(report.verdict.sentence.find(m.words()) != std::string::npos);
    const std::string cause = confirmed(report);
    RC_ASSERT(cause == m.cause || (!m.always_named && cause.empty()));
  });
}

INSTANTIATE_TEST_SUITE_P(Planted, Mutants, testing::ValuesIn(all_mutants()),
                         [](const auto& test) { return test.param.name; });

// Here the one row after a past of one token is also what another text's past would have given.
TEST(Found, ACauseInThePastIsNoneWhereTheBeginningIsWrong) {
  const std::vector<Mutant> all = all_mutants();
  const auto m = std::find_if(all.begin(), all.end(), [](const Mutant& x) { return x.name == "attends_both_ways"; });
  ASSERT_NE(m, all.end());
  toy::Subject subject(m->bugs, m->promises);
  const check::Report report = check::run(subject, varied({3, 0, 0, 1}));
  ASSERT_EQ(report.causes.size(), 1u);
  EXPECT_EQ(report.causes[0].cause, "attends-both-ways");
}

TEST(Healthy, IsIdenticalForEveryText) {
  holds(60, [] {
    toy::Subject subject({}, *rc::gen::arbitrary<bool>());
    const Ids ids = draw_text(2, 40);
    const check::Report report = check::run(subject, ids);
    RC_LOG() << show::as_text(check::document(report));
    RC_ASSERT(report.verdict.outcome == Outcome::identical);
    RC_ASSERT(report.verdict.reasons.empty());
  });
}

TEST(Healthy, IsIdenticalForALongText) {
  toy::Subject subject;
  Ids ids;
  for (std::int32_t i = 0; i < 200; ++i) ids.push_back(i * i % 13);
  EXPECT_EQ(check::run(subject, ids).verdict.outcome, Outcome::identical);
}

TEST(Healthy, WithoutPowersSaysWhatWasLeftOut) {
  toy::Subject subject(with([](Bugs& b) { b.powers = false; }));
  const check::Report report = check::run(subject, Ids{1, 2, 3, 4});
  EXPECT_EQ(report.verdict.outcome, Outcome::identical);
  const std::string text = show::as_text(check::document(report));
  EXPECT_NE(text.find("cannot fork a past"), std::string::npos) << text;
  EXPECT_NE(text.find("cannot rewind"), std::string::npos) << text;
}

// A masked vocabulary entry is -inf with the past and without it.
TEST(Healthy, MayMaskTokens) {
  toy::Subject subject(with(
      [](Bugs& b) { b.logit = [](Call, float v) { return v < -2 ? -std::numeric_limits<float>::infinity() : v; }; }));
  EXPECT_EQ(check::run(subject, Ids{1, 2, 3, 4, 5, 6}).verdict.outcome, Outcome::identical);
}

}  // namespace
}  // namespace pkv
