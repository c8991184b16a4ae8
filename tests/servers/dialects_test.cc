// Each dialect against a server on loopback that plays it, and what the wire may do.
#include <gmock/gmock.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "base/error.h"
#include "checker/served/served.h"
#include "servers/http_play.h"
#include "servers/metrics.h"
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
                         testing::Values("llama.cpp", "vllm", "sglang", "tensorrt-llm", "tgi", "ollama", "openai",
                                         "chat", "llama-cpp-python", "transformers"),
                         [](const auto& dialect) {
                           std::string name = dialect.param;
                           std::erase_if(name, [](char c) { return c == '.' || c == '-'; });
                           return name;
                         });

TEST_P(Dialects, AHealthyServerIsIdentical) {
  HttpPlay play(GetParam());
  const served::Report r = checked(to(play), {.companions = {3}});
  EXPECT_EQ(r.verdict.outcome, Outcome::identical) << r.verdict.sentence;
  EXPECT_LE(r.requests, r.plan.requests);
  for (const served::Experiment& e : r.experiments) {
    if (!e.left_out.empty()) continue;
    EXPECT_EQ(e.distance.has_value(), GetParam() != std::string("transformers")) << e.name;
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
  // Where a text is all that it says, only another token shows.
  auto& fault =
      GetParam() == std::string("transformers") ? play.play.faults.other_token : play.play.faults.other_numbers;
  fault = [](std::int64_t reused) { return reused > 20; };
  const served::Report r = checked(to(play));
  EXPECT_EQ(r.verdict.outcome, Outcome::differs) << r.verdict.sentence;
}

TEST_P(Dialects, NumbersThatDriftAreNotDeterministic) {
  HttpPlay play(GetParam());
  if (GetParam() == std::string("transformers")) GTEST_SKIP() << "a text does not show it";
  play.play.faults.drifts = true;
  EXPECT_EQ(checked(to(play)).verdict.outcome, Outcome::not_deterministic);
}

// The first token comes in a part of its own, whatever parts look like.
TEST_P(Dialects, TheFirstTokenIsTimed) {
  HttpPlay play(GetParam());
  const auto server = connect(to(play));
  const served::Timing t = served::time_first_tokens(*server, {.text = kText, .repetitions = 2});
  EXPECT_TRUE(t.streamed);
  EXPECT_EQ(t.requests, 1 + 2 * (1 + 2 * std::ssize(t.prompts[0].kept)));
  EXPECT_EQ(t.prompts[0].anew.samples.size(), 2);
  EXPECT_TRUE(t.holds()) << served::headline(t);
  for (const served::Kept& kept : t.prompts[0].kept) {
    EXPECT_EQ(kept.samples.size(), 2) << kept.name;
    EXPECT_GT(kept.spread().median, 0) << kept.name;
    if (kept.wanted && kept.reused()) {
      EXPECT_GE(*kept.reused(), std::min<std::int64_t>(*kept.wanted, 88)) << kept.name;
    }
  }
}

TEST_P(Dialects, BrokenPartsAreErrorsThatSayWhere) {
  for (const std::string body : {"", "data: {\n\n", "data: [1]\n\ndata: [DONE]\n\n", "no json\n",
                                 "data: {\"choices\": 3}\n\ndata: {\"content\": {}, \"token\": 1, \"response\": 1}\n\n",
                                 "data: {\"error\": {\"message\": \"in the middle\"}}\n\n"}) {
    HttpPlay play(GetParam());
    Endpoint endpoint = to(play);
    const auto server = connect(endpoint);
    served::Question question{.stream = true};
    question.text = kText;
    if (server->about().can.ids) question.ids = server->tokenize(kText);
    for (const char* path : {"/completion", "/v1/", "/generate", "/api/generate"}) {
      play.fault({.path = path, .times = -1, .reply = {.body = body}});
    }
    try {
      const auto replies = server->ask({&question, 1});
      EXPECT_FALSE(replies[0].first_seconds) << body << " was taken for a token";
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("127.0.0.1")) << body;
      EXPECT_EQ(e.kind(), Error::Kind::load) << body;
    }
  }
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

TEST(Parts, AreEventsOrLines) {
  const auto parts =
      parts_of(": comment\r\nevent: x\ndata: {\"a\":1}\r\n\r\ndata:{\"a\":2}\n{\"a\":3}\ndata: [DONE]\n", "here");
  ASSERT_EQ(parts.size(), 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(parts[static_cast<std::size_t>(i)].first.find("a")->integer(), i + 1);
  EXPECT_EQ(parts[2].second, 57);
  EXPECT_THROW(parts_of("data: {\n", "here"), Error);
}

TEST(Metrics, AreSumsOverLabels) {
  const char* page = "# TYPE a counter\na{l=\"} 3\"} 1\na{l=\"y\"} 2.5\na_total 7\nab 9\nb NaN\nc{l=\"x\"\n";
  EXPECT_EQ(metric(page, "a"), 3.5);
  EXPECT_EQ(metric(page, "a_total"), 7);
  EXPECT_FALSE(metric(page, "b"));
  EXPECT_FALSE(metric(page, "c"));
  EXPECT_FALSE(metric("", "a"));
}

TEST(Vllm, ReadsWhatWasReusedFromItsMetrics) {
  HttpPlay play("vllm");
  play.play.faults.does_not_say = true;
  const served::Report r = checked(to(play));
  EXPECT_TRUE(r.about.can.reports_reuse);
  EXPECT_THAT(r.about.notes, Contains(HasSubstr("/metrics")));
  for (const served::Experiment& e : r.experiments) {
    if (e.kind == served::Kind::prefix) {
      EXPECT_EQ(e.reused, e.wanted) << e.name;
    }
  }
}

TEST(Vllm, DoesNotTrustMetricsThatOthersCountIn) {
  HttpPlay play("vllm");
  play.play.faults.does_not_say = play.shared = true;
  const served::Report r = checked(to(play));
  EXPECT_FALSE(r.about.can.reports_reuse);
  EXPECT_THAT(r.about.notes, Contains(HasSubstr("others ask the server")));
}

TEST(Vllm, IsUnknownWithoutMetrics) {
  HttpPlay play("vllm");
  play.play.faults.does_not_say = true;
  play.counts = false;
  EXPECT_FALSE(checked(to(play)).about.can.reports_reuse);
}

TEST(Known, ByName) {
  const auto api = [](const char* dialect) {
    HttpPlay play(dialect);
    return connect(to(play))->about().api;
  };
  EXPECT_EQ(api("llama-cpp-python"), "llama_cpp.server");
  EXPECT_EQ(api("transformers"), "transformers serve");
  EXPECT_EQ(api("tensorrt-llm"), "TensorRT-LLM");
}

TEST(Known, ATextIsAskedForWhereNothingElseCanBeCompared) {
  HttpPlay play("transformers");
  const served::Report r = checked(to(play));
  EXPECT_EQ(r.answer_tokens, 8);
  HttpPlay other("openai");
  EXPECT_EQ(checked(to(other)).answer_tokens, 1);
}

TEST(Versus, TwoServersOfTheSameModel) {
  HttpPlay one("llama.cpp"), other("vllm");
  const auto a = connect(to(one)), b = connect(to(other));
  const served::Versus v = served::compare(*a, *b, {.text = kText, .options = {.prefixes = {4, 16, 89}}});
  EXPECT_TRUE(v.verdict.holds()) << v.verdict.sentence;
  EXPECT_TRUE(v.tokens_checked);
  EXPECT_EQ(v.tokens_apart, "");
  EXPECT_EQ(v.pairs.size(), 3 + 3 + 1);
  EXPECT_EQ(v.requests[0], v.requests[1]);
}

TEST(Versus, AServerThatTakesTextAlone) {
  HttpPlay one("tgi"), other("openai");
  const auto a = connect(to(one)), b = connect(to(other));
  const served::Versus v = served::compare(*a, *b, {.text = kText});
  EXPECT_EQ(v.verdict.outcome, Outcome::identical) << v.verdict.sentence;
  EXPECT_THAT(v.verdict.reasons, Contains(HasSubstr("asked as text")));
}

TEST(Wire, KeepsToItsRate) {
  HttpPlay play("llama.cpp");
  Endpoint endpoint = to(play);
  endpoint.rate = 50;
  const auto server = connect(endpoint);
  const auto ids = server->tokenize(kText);
  const auto start = std::chrono::steady_clock::now();
  const served::Question question{.ids = ids};
  for (int i = 0; i < 6; ++i) server->ask({&question, 1});
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(100));
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
