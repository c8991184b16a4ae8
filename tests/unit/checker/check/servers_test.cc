// A check of systems that say or show less than our engine: servers that say nothing of their past, or show only the
// likeliest tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "checker/check/check.h"
#include "checker/check/document.h"
#include "mutants/toy.h"

namespace pkv::check {
namespace {

using Ids = std::vector<std::int32_t>;
using testing::HasSubstr;

const Ids kText{1, 2, 3, 4, 5, 6};

// The toy behind a wall: it can be fed, and nothing else.
struct Server : Subject {
  explicit Server(toy::Bugs bugs = {}) : toy(std::move(bugs)) {}
  Description describe() const override { return toy.describe(); }
  std::unique_ptr<Session> fresh() override { return std::make_unique<Remote>(toy.fresh(), top); }

  struct Remote : Session {
    Remote(std::unique_ptr<Session> t, std::int64_t k) : toy(std::move(t)), top(k) {}
    Logits feed(std::span<const std::int32_t> ids) override {
      Logits all = toy->feed(ids);
      if (top == 0) return all;
      return {.vocab = all.vocab, .values = {all.values[0]}, .ids = {0}, .top = top};
    }
    std::unique_ptr<Session> toy;
    std::int64_t top;
  };

  toy::Subject toy;
  std::int64_t top = 0;
};

TEST(Servers, OneThatSaysNothingOfItsPastIsJudgedByItsLogits) {
  Server server;
  const Report r = run(server, kText);
  EXPECT_TRUE(r.verdict.holds()) << r.verdict.sentence;
  EXPECT_EQ(r.evidence.exists.sentence, "whether a past was kept is not known");
  EXPECT_EQ(r.evidence.length.sentence, "the length of the past is not known");
  EXPECT_THAT(r.evidence.used.sentence, HasSubstr("it is used"));
  EXPECT_THAT(show::as_text(document(r)), testing::Not(HasSubstr("no past was kept")));
}

// Every call is a text of its own: that no past was kept is for the causes to find, not for the system to say.
TEST(Servers, OneThatForgetsAndSaysNothingIsFoundOut) {
  toy::Bugs bugs;
  bugs.keeps_nothing = true;
  Server server(bugs);
  const Report r = run(server, kText);
  EXPECT_EQ(r.verdict.outcome, Outcome::differs);
  ASSERT_FALSE(r.causes.empty());
  EXPECT_EQ(r.causes[0].cause, "new-tokens-alone");
  EXPECT_TRUE(r.causes[0].confirmed);
}

TEST(Servers, OneThatShowsTheLikeliestTokensOnlyIsRefusedInWords) {
  Server server;
  server.top = 1;
  try {
    run(server, kText);
    FAIL() << "one logit of 13 was taken for all of them";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::load);
    EXPECT_THAT(error.what(), HasSubstr("the system shows a part of its logits only"));
    EXPECT_THAT(error.what(), HasSubstr("the 1 likeliest tokens of 13 at 1 of 6 positions"));
  }
}

}  // namespace
}  // namespace pkv::check
