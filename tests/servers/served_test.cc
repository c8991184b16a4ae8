// What room checker/served concludes of servers with faults, played in memory.
#include "checker/served/served.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "checker/served/verdict.h"
#include "servers/play.h"
#include "support/validate.h"

namespace pkv::served {
namespace {

using support::Play;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class InMemory : public Server {
 public:
  InMemory() {
    about_ = {.url = "memory", .api = "play", .model = "played", .cold = "a flag", .context = 4096, .slots = 2};
    about_.can = {.ids = true, .logprobs = true, .cold = true, .reports_reuse = true};
  }

  const About& about() const override { return about_; }
  std::vector<std::int32_t> tokenize(const std::string& text) override { return Play::tokens_of(text); }
  std::vector<Reply> ask(std::span<const Question> questions) override {
    std::vector<Reply> replies;
    for (const Question& q : questions) {
      const auto ids = q.ids.empty() ? Play::tokens_of(q.text) : q.ids;
      const auto played =
          play.answer(ids, q.past == Past::none, salted ? q.key : "", q.new_tokens, questions.size() > 1);
      Reply reply{.ids = played.ids, .seconds = 1e-3 * static_cast<double>(std::ssize(ids) - played.reused)};
      if (!play.faults.does_not_say) reply.reused = play.faults.says_nothing_reused ? 0 : played.reused;
      if (says_nothing) reply.ids.clear();
      if (!play.faults.no_logprobs && !says_nothing && !(play.faults.loses_logprobs && played.reused > 0)) {
        for (const auto& [id, logprob] : played.candidates) reply.candidates.push_back({.id = id, .logprob = logprob});
      }
      replies.push_back(std::move(reply));
      requests_++;
    }
    return replies;
  }
  std::pair<std::int64_t, std::int64_t> save_and_restore() override { return {40, 40}; }

  Play play;
  bool salted = false;        // pasts are kept by key
  bool says_nothing = false;  // neither text nor candidates
  About about_;
};

constexpr const char* kText =
    "Forty people read in one room, and the quiet settles: of three volumes nobody ever found.";

Report checked(InMemory& server, Options options = {}) {
  return check(server, {.text = kText, .options = std::move(options)});
}

std::vector<std::string> causes(const Report& r) {
  std::vector<std::string> names;
  for (const Finding& f : r.causes) names.push_back(f.name);
  return names;
}

TEST(Served, AHealthyServerIsIdentical) {
  for (const bool salted : {false, true}) {
    InMemory server;
    server.salted = salted;
    server.about_.can.saves = !salted;
    const Report r = checked(server, {.companions = {1, 3}});
    EXPECT_EQ(r.verdict.outcome, Outcome::identical) << r.verdict.sentence;
    EXPECT_THAT(causes(r), IsEmpty());
    EXPECT_LE(r.requests, r.plan.requests);
    EXPECT_EQ(r.tokens, std::ssize(std::string_view(kText)));
  }
}

TEST(Served, ReusesWhatItWasLeft) {
  InMemory server;
  server.salted = true;
  for (const Experiment& e : checked(server).experiments) {
    if (e.wanted && e.kind != Kind::control) {
      EXPECT_EQ(e.reused, e.wanted) << e.name;
    }
    if (e.possible) {
      EXPECT_LE(*e.wanted, *e.possible) << e.name;
    }
  }
}

TEST(Served, NamesTheLengthsThatChangeTheAnswer) {
  InMemory server;
  server.salted = true;
  server.play.faults.other_numbers = [](std::int64_t reused) { return reused >= 2 && reused <= 33; };
  const Report r = checked(server);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(r.verdict.sentence, HasSubstr("with 2 to 33 tokens reused"));
  EXPECT_THAT(r.verdict.sentence, HasSubstr("top token the same"));
  EXPECT_THAT(r.verdict.sentence, HasSubstr("; with 1"));
  EXPECT_THAT(causes(r), Contains("depends-on-length"));
}

TEST(Served, SaysWhenAnotherTokenWins) {
  InMemory server;
  server.salted = true;
  server.play.faults.other_token = [](std::int64_t reused) { return reused == 16; };
  const Report r = checked(server);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(r.verdict.sentence, HasSubstr("with 16 tokens reused"));
  EXPECT_THAT(r.verdict.sentence, HasSubstr("another token is the most likely"));
}

TEST(Served, DriftOutranksEverything) {
  InMemory server;
  server.play.faults.drifts = true;
  server.play.faults.collides = true;
  const Report r = checked(server, {.companions = {1}});
  EXPECT_EQ(r.verdict.outcome, Outcome::not_deterministic);
  EXPECT_THAT(causes(r), testing::ElementsAre("not-deterministic"));
}

TEST(Served, NothingReusedIsNoTest) {
  InMemory server;
  server.play.faults.keeps_nothing = true;
  const Report r = checked(server);
  EXPECT_EQ(r.verdict.outcome, Outcome::empty);
  EXPECT_THAT(r.verdict.sentence, HasSubstr("nothing was reused: 0 of 89 tokens"));
  EXPECT_THAT(causes(r), Contains("hit-ignored"));
}

TEST(Served, KnowsReuseThatCannotBe) {
  InMemory server;
  server.salted = true;
  server.play.faults.shifts = true;
  EXPECT_THAT(causes(checked(server)), Contains("reused-out-of-place"));
  InMemory other;
  other.salted = true;
  other.play.faults.collides = true;
  EXPECT_THAT(causes(checked(other)), Contains("past-of-another-text"));
}

TEST(Served, KnowsAHitThatIsNotReported) {
  InMemory server;
  server.play.faults.says_nothing_reused = true;
  server.play.faults.other_numbers = [](std::int64_t) { return true; };
  const Report r = checked(server);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(causes(r), Contains("hit-not-reported"));
}

TEST(Served, KnowsCompany) {
  InMemory server;
  server.play.faults.drifts_with_company = true;
  const Report r = checked(server, {.companions = {7}});
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  EXPECT_THAT(r.verdict.sentence, HasSubstr("while 7 other requests run"));
  EXPECT_THAT(causes(r), testing::ElementsAre("depends-on-batch"));
}

TEST(Served, KnowsThatItMattersWhoCameBefore) {
  InMemory server;
  server.play.faults.place_matters = true;
  server.about_.can.saves = true;
  EXPECT_EQ(checked(server).verdict.outcome, Outcome::differs);
}

TEST(Served, FewDigitsAreAUnitOfTheirOwn) {
  InMemory server;
  server.play.faults.decimals = 4;
  const Report equal = checked(server);
  EXPECT_EQ(equal.verdict.outcome, Outcome::identical);
  EXPECT_EQ(equal.step, 1e-4);
  InMemory other;
  other.play.faults.decimals = 4;
  other.play.faults.other_numbers = [](std::int64_t) { return true; };
  EXPECT_EQ(checked(other).verdict.outcome, Outcome::differs);
}

TEST(Served, AServerThatCannotForgetIsAskedTextsItHasNeverSeen) {
  InMemory server;
  server.about_.can.ids = server.about_.can.cold = false;
  server.play.faults.does_not_say = true;
  EXPECT_EQ(checked(server).verdict.outcome, Outcome::identical);
  InMemory other;
  other.about_.can.ids = other.about_.can.cold = false;
  other.play.faults.other_numbers = [](std::int64_t reused) { return reused > 20; };
  const Report r = checked(other);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs) << r.verdict.sentence;
  EXPECT_THAT(r.verdict.reasons, Contains(HasSubstr("cannot be made to compute a prompt anew")));
}

TEST(Served, LogprobsThatAPastLosesDiffer) {
  InMemory server;
  server.play.faults.loses_logprobs = true;
  const Report r = checked(server);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs) << r.verdict.sentence;
  EXPECT_THAT(r.verdict.reasons, Contains(HasSubstr("one of two answers has log-probabilities")));
}

TEST(Served, AnswersThatHoldNothingAreNoTest) {
  InMemory server;
  server.says_nothing = true;
  const Report r = checked(server);
  EXPECT_EQ(r.verdict.outcome, Outcome::empty) << r.verdict.sentence;
}

TEST(Served, TextAloneIsCompared) {
  InMemory server;
  server.play.faults.no_logprobs = true;
  const Report r = checked(server);
  EXPECT_EQ(r.verdict.outcome, Outcome::identical);
  EXPECT_THAT(r.verdict.reasons, Contains(HasSubstr("only what it wrote was compared")));
}

TEST(Served, KeepsToTheRequestsItMayAsk) {
  InMemory server;
  const Report r = checked(server, {.most_requests = 40});
  EXPECT_LE(r.requests, 40);
  EXPECT_GT(r.plan.left_out, 0);
  EXPECT_EQ(r.plan.prefixes.back(), r.tokens);
  InMemory other;
  EXPECT_THROW(checked(other, {.most_requests = 5}), Error);
  EXPECT_THROW(checked(other, {.prefixes = {1000}}), Error);
  EXPECT_EQ(other.requests(), 0) << "asked before it knew that it could not";
}

TEST(Served, RefusesPromptsThatShowNothing) {
  InMemory server;
  EXPECT_THROW(check(server, {.text = "abc"}), Error);
  EXPECT_THROW(check(server, {.text = "aaaaaaaa"}), Error);
  EXPECT_THROW(check(server, {.text = std::string(4095, 'a') + "b"}), Error);
}

TEST(Served, ReportsFitTheirSchemas) {
  InMemory server;
  server.play.faults.other_numbers = [](std::int64_t reused) { return reused > 30; };
  Report r = checked(server, {.companions = {1}});
  r.text = "a <b> & \"c\"";
  support::expect_valid({{"server.json", report_json(r)}, {"server.xml", report_junit(r)}});
  EXPECT_THAT(show::as_text(document(r)), HasSubstr("differs"));
}

TEST(Distance, BoundsWhatOneReplyLeavesOut) {
  Reply one{.candidates = {{.id = 1, .logprob = -0.5}, {.id = 2, .logprob = -2}}};
  Reply other{.candidates = {{.id = 1, .logprob = -0.5}, {.id = 3, .logprob = -3}}};
  const Distance d = distance(one, other);
  EXPECT_FALSE(d.same);
  EXPECT_EQ(d.common, 1);
  EXPECT_EQ(d.only_one, 2);
  EXPECT_EQ(d.max_abs, 1);  // token 2 has at most -3 in the other
  EXPECT_TRUE(d.top_same);
  EXPECT_TRUE(distance(one, one).same);
  EXPECT_EQ(distance(one, one).kl, 0);
}

TEST(Lengths, AreRangesOfWhatWasTested) {
  const std::vector<std::int64_t> all{1, 2, 3, 4, 8, 16, 32, 64}, some{2, 3, 4, 8, 32};
  EXPECT_EQ(lengths_text(some, all), "2 to 8 and 32");
  EXPECT_EQ(lengths_text(std::vector<std::int64_t>{1, 2}, all), "1 and 2");
}

}  // namespace
}  // namespace pkv::served
