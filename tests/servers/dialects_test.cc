// Each dialect against a server on loopback that plays it, and what the wire may do.
#include <gmock/gmock.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "base/error.h"
#include "checker/served/served.h"
#include "servers/http_play.h"
#include "servers/servers.h"

namespace pkv::servers {
namespace {

using served::Outcome;
using support::HttpPlay;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kText =
    "Forty people read in one room, and the quiet settles: of three volumes nobody ever found.";

Endpoint to(const HttpPlay& play) {
  ::setenv("no_proxy", "127.0.0.1,localhost", 1);
  std::signal(SIGPIPE, SIG_IGN);
  Endpoint endpoint{.url = play.url()};
  endpoint.backoff = std::chrono::milliseconds(1);
  endpoint.timeout = std::chrono::milliseconds(10'000);
  return endpoint;
}

served::Report checked(const Endpoint& endpoint, served::Options options = {}) {
  if (options.prefixes.empty()) options.prefixes = {1, 16, 33, 88, 89};
  const auto server = connect(endpoint);
  return served::check(*server, {.text = kText, .options = std::move(options)});
}

std::string refused(const Endpoint& endpoint) {
  try {
    checked(endpoint);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

class Dialects : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Dialects,
                         testing::Values("llama.cpp", "vllm", "sglang", "tgi", "ollama", "openai", "chat"),
                         [](const auto& dialect) {
                           std::string name = dialect.param;
                           std::erase(name, '.');
                           return name;
                         });

TEST_P(Dialects, AHealthyServerIsIdentical) {
  HttpPlay play(GetParam());
  const served::Report r = checked(to(play), {.companions = {3}});
  EXPECT_EQ(r.verdict.outcome, Outcome::identical) << r.verdict.sentence;
  EXPECT_LE(r.requests, r.plan.requests);
  for (const served::Experiment& e : r.experiments) {
    if (!e.left_out.empty()) continue;
    EXPECT_TRUE(e.distance.has_value()) << e.name;
    if (e.kind != served::Kind::prefix) continue;
    if (GetParam() == std::string("llama.cpp")) {
      EXPECT_GE(e.reused, e.wanted) << e.name << ": it keeps more than what was left last";
    } else {
      EXPECT_EQ(e.reused, e.wanted) << e.name;
    }
  }
}

TEST_P(Dialects, AnAnswerThatAPastChangesDiffers) {
  HttpPlay play(GetParam());
  play.play.faults.other_numbers = [](std::int64_t reused) { return reused > 20; };
  const served::Report r = checked(to(play));
  EXPECT_EQ(r.verdict.outcome, Outcome::differs) << r.verdict.sentence;
}

TEST_P(Dialects, NumbersThatDriftAreNotDeterministic) {
  HttpPlay play(GetParam());
  play.play.faults.drifts = true;
  EXPECT_EQ(checked(to(play)).verdict.outcome, Outcome::not_deterministic);
}

TEST_P(Dialects, BrokenAnswersAreErrorsThatSayWhere) {
  for (const std::string body : {"", "[]", "{\"choices\": 3}", "not json",
                                 "{\"choices\": [{}], \"completion_probabilities\": [{\"top_logprobs\": 7}]}",
                                 "{\"meta_info\": null, \"details\": [], \"logprobs\": [1]}", "\"\\ud800\""}) {
    HttpPlay play(GetParam());
    const auto server = connect(to(play));
    for (const char* path : {"/completion", "/v1/", "/generate", "/api/generate"}) {
      play.fault({.path = path, .times = -1, .reply = {.body = body}});
    }
    try {
      served::check(*server, {.text = kText, .options = {.prefixes = {4}}});
      ADD_FAILURE() << body << " was taken for an answer";
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("127.0.0.1")) << body;
      EXPECT_EQ(e.kind(), Error::Kind::load) << body;
    }
  }
}

TEST(Wire, IsTriedAgainWhereThatHelps) {
  HttpPlay play("llama.cpp");
  play.fault({.path = "/completion", .reply = {.status = 503, .body = R"({"error":{"message":"Loading model"}})"}});
  play.fault({.path = "/completion", .reply = {.status = 429, .headers = {{"Retry-After", "0"}}}});
  play.fault({.path = "/completion", .cut = true});
  play.fault({.path = "/completion", .times = 5, .chunked = true});
  EXPECT_EQ(checked(to(play)).verdict.outcome, Outcome::identical);
}

TEST(Wire, GivesUpWithWhatTheServerSaid) {
  HttpPlay play("llama.cpp");
  play.fault({.path = "/completion", .times = -1, .reply = {.status = 500, .body = R"({"error":{"message":"boom"}})"}});
  EXPECT_THAT(refused(to(play)), HasSubstr("500: boom"));
  HttpPlay busy("llama.cpp");
  busy.fault({.path = "/completion",
              .times = -1,
              .reply = {.status = 429, .body = R"({"detail":"later"})", .headers = {{"Retry-After", "3600"}}}});
  EXPECT_THAT(refused(to(busy)), HasSubstr("too busy"));
}

TEST(Wire, FollowsNoRedirect) {
  HttpPlay play("llama.cpp");
  play.fault({.path = "/completion", .reply = {.status = 307, .headers = {{"Location", "http://example.com/"}}}});
  EXPECT_THAT(refused(to(play)), HasSubstr("not followed"));
}

TEST(Wire, EndsAHugeAnswer) {
  HttpPlay play("llama.cpp");
  play.fault({.path = "/completion", .reply = {.body = std::string(65 << 20, ' ')}});
  EXPECT_THAT(refused(to(play)), HasSubstr("more than anyone needs"));
}

TEST(Wire, ASlowServerIsLeft) {
  HttpPlay play("llama.cpp");
  play.fault({.path = "/completion", .times = -1, .delay_ms = 3000});
  Endpoint endpoint = to(play);
  endpoint.timeout = std::chrono::milliseconds(50);
  endpoint.retries = 1;
  EXPECT_THAT(refused(endpoint), HasSubstr("--timeout"));
}

TEST(Wire, CanBeStopped) {
  HttpPlay play("llama.cpp");
  play.fault({.path = "/completion", .times = -1, .delay_ms = 20'000});
  std::atomic<bool> stop = false;
  Endpoint endpoint = to(play);
  endpoint.stop = &stop;
  std::jthread later([&] {
    while (play.running == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    stop = true;
  });
  EXPECT_THROW(checked(endpoint), Stopped);
}

TEST(Wire, KeysGoToTheServerAndNowhereElse) {
  HttpPlay play("llama.cpp");
  play.key = "sesame-4711";
  EXPECT_THAT(refused(to(play)), HasSubstr("PKV_API_KEY"));
  Endpoint endpoint = to(play);
  endpoint.key = "sesame-4711";
  const served::Report r = checked(endpoint);
  EXPECT_TRUE(r.verdict.holds());
  EXPECT_THAT(served::report_json(r), Not(HasSubstr("sesame")));
  endpoint.key = "wrong-4712";
  EXPECT_THAT(refused(endpoint), Not(HasSubstr("4712")));
  endpoint.url.insert(7, "user:secret@");
  endpoint.key.clear();
  EXPECT_THAT(refused(endpoint), Not(HasSubstr("secret")));
}

TEST(Wire, NobodyThere) {
  Endpoint endpoint{.url = "http://127.0.0.1:1"};
  EXPECT_THAT(refused(endpoint), HasSubstr("does not answer"));
  EXPECT_THAT(refused({.url = "ftp://127.0.0.1"}), HasSubstr("not the address of a server"));
  EXPECT_THAT(refused({.url = ""}), HasSubstr("not the address of a server"));
}

TEST(Wire, ADialectMayBeNamed) {
  HttpPlay play("openai");
  Endpoint endpoint = to(play);
  endpoint.api = "llama.cpp";
  EXPECT_THAT(refused(endpoint), HasSubstr("not llama.cpp's server"));
  endpoint.api = "openai";
  endpoint.model = "another";
  EXPECT_THAT(refused(endpoint), HasSubstr("no such model"));
}

TEST(Wire, AWebSiteIsNoServerOfAModel) {
  HttpPlay play("none");
  play.fault({.path = "/", .times = -1, .reply = {.status = 404, .body = "<html>"}});
  EXPECT_THAT(refused(to(play)), HasSubstr("nothing that answers like a server of a language model"));
}

}  // namespace
}  // namespace pkv::servers
