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
  std::vector<std::int32_t> tokenize(const std::string& text) override {
    auto ids = Play::tokens_of(text);
    if (adds_a_token) ids.insert(ids.begin(), Play::vocab - 1);
    return ids;
  }
  std::vector<Reply> ask(std::span<const Question> questions) override {
    std::vector<Reply> replies;
    for (const Question& q : questions) {
      const auto ids = q.ids.empty() ? Play::tokens_of(q.text) : q.ids;
      const auto played =
          play.answer(ids, q.past == Past::none, salted ? q.key : "", q.new_tokens, questions.size() > 1);
      Reply reply{.ids = played.ids, .seconds = 1e-3 * static_cast<double>(std::ssize(ids) - played.reused)};
      if (!play.faults.does_not_say) reply.reused = play.faults.says_nothing_reused ? 0 : played.reused;
      if (says_nothing) reply.ids.clear();
      for (const std::int32_t id : played.ids) reply.text += writes_text ? Play::text_of(id) : "";
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
  bool writes_text = false;
  bool adds_a_token = false;  // to every text
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

TEST(Served, PushesThePastOut) {
  InMemory server;
  const Report kept = checked(server, {.flood = 3});
  const auto of = [](const Report& r, Kind kind) { return std::ranges::find(r.experiments, kind, &Experiment::kind); };
  EXPECT_EQ(of(kept, Kind::evicted)->reused, kept.tokens - 1) << "it keeps everything";
  InMemory small;
  small.play.faults.keeps = 2;
  const Report pushed = checked(small, {.flood = 3});
  EXPECT_EQ(of(pushed, Kind::evicted)->reused, 0);
  EXPECT_TRUE(of(pushed, Kind::evicted)->same());
  EXPECT_THAT(of(pushed, Kind::evicted)->name, HasSubstr("pushed out by 3 other prompts"));
  InMemory never;
  const Report none = checked(never, {.flood = 0});
  EXPECT_EQ(of(none, Kind::evicted), none.experiments.end());
}

// The played model writes texts that are cut into more tokens than it wrote.
TEST(Served, FeedsTheReplyBackAsText) {
  InMemory server;
  server.salted = server.writes_text = true;
  const Report r = checked(server);
  std::vector<const Experiment*> back;
  for (const Experiment& e : r.experiments) {
    if (e.kind == Kind::fed_back) back.push_back(&e);
  }
  ASSERT_EQ(back.size(), 2);
  EXPECT_THAT(back[1]->name, HasSubstr("as text"));
  EXPECT_EQ(back[1]->left_out, "");
  EXPECT_EQ(back[1]->reused, r.tokens) << "the past fits as far as the tokens are the same";
  EXPECT_EQ(r.verdict.outcome, Outcome::identical) << r.verdict.sentence;
}

TEST(Served, KnowsAHitByItsTime) {
  InMemory server;
  server.play.faults.says_nothing_reused = true;
  const Report r = checked(server);
  EXPECT_THAT(causes(r), Contains("hit-not-reported")) << "89 ms computed anew, 1 ms with a hit";
}

TEST(Served, TextAloneIsLonger) {
  InMemory server;
  server.play.faults.no_logprobs = true;
  EXPECT_EQ(checked(server).answer_tokens, 8);
}

TEST(Timings, AreOfWhatWasReused) {
  InMemory server;
  server.salted = true;
  const Timing t = time_first_tokens(server, {.text = kText, .prefixes = {16, 64, 89}, .repetitions = 3});
  EXPECT_FALSE(t.streamed) << "it can't";
  EXPECT_TRUE(t.holds()) << headline(t);
  ASSERT_EQ(t.prompts.size(), 1);
  const Prompt& p = t.prompts[0];
  ASSERT_EQ(p.kept.size(), 3);
  EXPECT_EQ(p.kept[0].reused(), 16);
  EXPECT_EQ(p.kept[2].reused(), 88) << "the last token is computed";
  EXPECT_DOUBLE_EQ(p.anew.spread().median, 0.089);
  EXPECT_DOUBLE_EQ(p.kept[1].spread().median, 0.025);
  EXPECT_EQ(p.kept[2].samples.size(), 3);
  EXPECT_THAT(headline(t), HasSubstr("89.00 ± 0.00 times faster"));
  EXPECT_EQ(t.requests, 1 + 3 * (1 + 2 * 3));
  EXPECT_EQ(t.compared, 9);
  EXPECT_THAT(t.notes, Contains(HasSubstr("answers of one token were timed")));
}

TEST(Timings, OfSeveralPrompts) {
  InMemory server;
  server.salted = true;
  const Timing t = time_first_tokens(server, {.text = kText, .prompt_tokens = {32, 200}, .repetitions = 1});
  ASSERT_EQ(t.prompts.size(), 2);
  EXPECT_EQ(t.prompts[1].tokens, 200);
  EXPECT_EQ(t.prompts[1].kept.back().reused(), 199);
}

TEST(Timings, SayThatNothingWasReused) {
  InMemory server;
  server.play.faults.keeps_nothing = true;
  const Timing t = time_first_tokens(server, {.text = kText, .repetitions = 1});
  EXPECT_FALSE(t.holds());
  EXPECT_THAT(headline(t), HasSubstr("nothing was reused"));
}

TEST(Timings, SayThatTheAnswerChanged) {
  InMemory server;
  server.writes_text = true;
  server.play.faults.other_token = [](std::int64_t reused) { return reused > 60; };
  const Timing t = time_first_tokens(server, {.text = kText, .prefixes = {16, 89}, .repetitions = 2});
  EXPECT_FALSE(t.holds());
  EXPECT_GT(t.other_answers, 0);
}

TEST(Timings, KeepToTheRequestsTheyMayAsk) {
  InMemory server;
  const Timing t = time_first_tokens(server, {.text = kText, .prefixes = {16, 89}, .most_requests = 11});
  EXPECT_EQ(t.repetitions, 2);
  EXPECT_LE(t.requests, 11);
  EXPECT_THAT(t.notes, Contains(HasSubstr("2 repetitions of 5")));
  InMemory other;
  EXPECT_THROW(time_first_tokens(other, {.text = kText, .most_requests = 3}), Error);
  EXPECT_THROW(time_first_tokens(other, {.text = kText, .prefixes = {0}}), Error);
  EXPECT_THROW(time_first_tokens(other, {.text = kText, .prefixes = {90}}), Error);
  EXPECT_THROW(time_first_tokens(other, {.text = kText, .prompt_tokens = {5000}}), Error);
  EXPECT_EQ(other.requests(), 0) << "asked before it knew that it could not";
}

TEST(Timings, FitTheirSchema) {
  InMemory server;
  server.about_.can.ids = false;
  const Timing t = time_first_tokens(server, {.text = kText, .repetitions = 2});
  support::expect_valid({{"server-bench.json", report_json(t)}});
  EXPECT_THAT(show::as_text(document(t)), HasSubstr("75 % kept"));
}

Versus compared(InMemory& one, InMemory& other, VersusTask task = {}) {
  task.text = kText;
  return compare(one, other, task);
}

TEST(Versus, TheSameAnswersAreIdentical) {
  InMemory one, other;
  const Versus v = compared(one, other);
  EXPECT_EQ(v.verdict.outcome, Outcome::identical) << v.verdict.sentence;
  EXPECT_THAT(v.verdict.reasons, Contains(HasSubstr("the same 89 tokens")));
}

TEST(Versus, NumbersThatAreCloseAreAlike) {
  InMemory one, other;
  other.play.faults.other_numbers = [](std::int64_t) { return true; };
  const Versus v = compared(one, other, {.tolerance = 0.01});
  EXPECT_EQ(v.verdict.outcome, Outcome::alike) << v.verdict.sentence;
  EXPECT_THAT(v.verdict.reasons, Contains(HasSubstr("play moves by at most")));
  InMemory strict, strict_other;
  strict_other.play.faults.other_numbers = [](std::int64_t) { return true; };
  const Versus far = compared(strict, strict_other, {.tolerance = 1e-9});
  EXPECT_EQ(far.verdict.outcome, Outcome::differs);
  EXPECT_THAT(far.verdict.sentence, HasSubstr("where a part of the prompt was kept, and alike ones without"));
}

TEST(Versus, AnotherModelDiffers) {
  InMemory one, other;
  other.play.faults.another_model = true;
  const Versus v = compared(one, other);
  EXPECT_EQ(v.verdict.outcome, Outcome::differs) << v.verdict.sentence;
  EXPECT_THAT(v.verdict.sentence, HasSubstr("another token is the most likely in"));
  EXPECT_THAT(v.verdict.reasons, Contains(HasSubstr("from token 1 on")));
}

TEST(Versus, OtherTokensAreSaid) {
  InMemory one, other;
  other.adds_a_token = true;
  const Versus v = compared(one, other);
  EXPECT_EQ(v.verdict.outcome, Outcome::differs);
  EXPECT_THAT(v.verdict.sentence, HasSubstr("89 and 90 of them; token 1 is id"));
}

TEST(Versus, FitsItsSchema) {
  InMemory one, other;
  other.play.faults.other_numbers = [](std::int64_t) { return true; };
  const Versus v = compared(one, other, {.tolerance = 1e-9});
  support::expect_valid({{"servers.json", report_json(v)}, {"servers.xml", report_junit(v)}});
  EXPECT_THAT(show::as_text(document(v)), HasSubstr("differs"));
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
