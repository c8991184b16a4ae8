// Faults planted in the engine: each must be found and called by its name, on every bundled model that it has a meaning
// for; a wrong name is a failure. The counts that docs/causes.md quotes are printed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "check/check.h"
#include "subjects/engine.h"
#include "support/models.h"

namespace pkv {
namespace {

using check::Outcome;
using program::EngineSubject;
using Ids = std::vector<std::int32_t>;

// Of the models that can keep a past.
const std::vector<std::string> kModels{"tiny-gpt2", "tiny-mpt", "tiny-falcon"};

const std::vector<std::string> kFaults{
    "past-absent",           "past-ignored",     "new-tokens-alone",   "top-left-mask",  "later-tokens-seen",
    "position-restarted",    "position-one-far", "position-one-short", "rotary-missing", "rotary-twice",
    "alibi-over-new-tokens", "alibi-missing",    "heads-shifted",      "past-in-fp16",   "past-in-bf16",
    "first-dropped=1",       "first-dropped=2",  "window=4",           "window=7"};

struct Case {
  std::int64_t tokens;
  check::Splits splits;
};

// A text of each length with the past of all but one token and with a shorter one.
std::vector<Case> cases() {
  using Choice = check::Splits::Choice;
  return {{13, {Choice::last}}, {13, {Choice::listed, {8}}}, {24, {Choice::last}}, {24, {Choice::listed, {17}}}};
}

std::string without_count(const std::string& fault) { return fault.substr(0, fault.find('=')); }

// Where positions are but distances, new tokens alone are new tokens that ignore their past.
bool means_anything(const model::Model& model, const std::string& fault) {
  if (fault == "new-tokens-alone" && model.card().positions == "ALiBi") return false;
  try {
    program::implementation(fault, model.card());
    return true;
  } catch (const Error&) {
    return false;
  }
}

check::Report run(const std::string& model, const std::string& as, const Case& c) {
  EngineSubject subject(support::load(support::source() / "models" / model, "cpu"), model, as);
  const Ids ids = support::random_ids(static_cast<std::uint64_t>(c.tokens), c.tokens, subject.model().card().vocab);
  return check::run(subject, ids, {.splits = c.splits});
}

std::string named(const check::Report& report) {
  if (report.verdict.outcome != Outcome::differs) return "nothing";
  return report.causes.empty() || !report.causes.front().confirmed ? "unknown" : report.causes.front().cause;
}

class Faults : public testing::TestWithParam<std::string> {};

TEST_P(Faults, AreFoundAndNamed) {
  const std::string& fault = GetParam();
  std::map<std::string, int> names;
  for (const std::string& model : kModels) {
    if (!means_anything(support::load(support::source() / "models" / model, "cpu"), fault)) continue;
    for (const Case& c : cases()) {
      const check::Report report = run(model, fault, c);
      names[named(report)]++;
      EXPECT_EQ(named(report), without_count(fault)) << check::report_text(report);
      EXPECT_TRUE(report.causes.empty() || report.causes.front().same_rows == report.causes.front().rows);
    }
  }
  for (const auto& [name, count] : names) fmt::print("planted {}, named {}: {}\n", fault, name, count);
}

INSTANTIATE_TEST_SUITE_P(Planted, Faults, testing::ValuesIn(kFaults),
                         [](const auto& test) { return support::test_name(test.param); });

TEST(Healthy, HasNoCause) {
  for (const std::string& model : kModels) {
    for (const Case& c : cases()) {
      const check::Report report = run(model, "", c);
      EXPECT_EQ(report.verdict.outcome, Outcome::identical) << check::report_text(report);
      EXPECT_TRUE(report.causes.empty());
      EXPECT_EQ(report.causes_tried, 0);
    }
  }
}

TEST(TwoFaults, AreNamedTogether) {
  const check::Report report = run("tiny-falcon", "transformers-2023", cases()[1]);
  EXPECT_EQ(named(report), "top-left-mask + position-restarted") << check::report_text(report);
}

// A supposition that changes nothing gives the bits of the ordinary call, wherever the text is thought to be cut.
TEST(Supposition, OfNothingChangesNothing) {
  for (const std::string& model : kModels) {
    EngineSubject subject(support::load(support::source() / "models" / model, "cpu"), model);
    const Ids ids = support::random_ids(3, 20, subject.model().card().vocab);
    const check::Logits whole = subject.fresh()->feed(ids);
    const check::Supposition wide{"window", 20};
    for (const std::int64_t past : {1, 7, 19}) {
      const auto supposed = subject.counterfactual()->suppose({&wide, 1}, ids, past);
      ASSERT_TRUE(supposed);
      EXPECT_TRUE(std::equal(supposed->values.begin(), supposed->values.end(),
                             whole.values.begin() + past * whole.vocab, whole.values.end()))
          << model << " from " << past;
    }
  }
}

TEST(Implementations, AreRefusedWhereTheyMeanNothing) {
  const model::Model mpt = support::load(support::source() / "models" / "tiny-mpt", "cpu");
  for (const char* name :
       {"rotary-twice", "position-restarted", "nothing-of-the-sort", "window=0", "window=x", "top-left-mask=3"}) {
    EXPECT_FALSE(means_anything(mpt, name)) << name;
  }
  EXPECT_TRUE(program::implementation("transformers-2023", mpt.card()).keeps_no_past);
}

}  // namespace
}  // namespace pkv
