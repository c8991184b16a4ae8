// What a server may answer: the first byte says which dialect, the rest is the body of every answer to a question,
// whole or in parts. Each gives a report or an error that it caused; none crashes, hangs or is taken for more than it
// holds.
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "base/error.h"
#include "checker/served/served.h"
#include "servers/metrics.h"
#include "servers/servers.h"

namespace {

struct Known {
  const char* api;
  std::string_view path, answer;  // by which it is known
};

constexpr Known kKnown[] = {
    {"llama.cpp", "/props", R"({"build_info":"b","total_slots":2,"default_generation_settings":{"n_ctx":512}})"},
    {"vllm", "/version", R"({"version":"0"})"},
    {"sglang", "/server_info", R"({"version":"0"})"},
    {"tensorrt-llm", "/version", R"({"version":"0"})"},
    {"tgi", "/info", R"({"router":"text-generation-router","version":"0"})"},
    {"ollama", "/api/version", R"({"version":"0"})"},
    {"openai", "/v1/models", R"({"data":[{"id":"m","owned_by":"me"}]})"},
    {"openai", "/v1/models", R"({"data":[{"id":"m","status":{"value":"loaded"}}]})"},
};

// Everything that is asked for its tokens, forgetting, saving, gets an answer of its own; the rest gets `body`.
std::string_view answer_to(std::string_view url, const Known& known, std::string_view body) {
  const auto path = url.substr(url.find('/', 8));
  if (path == known.path) return known.answer;
  if (path == "/v1/models") return R"({"data":[{"id":"m"}]})";
  if (path.ends_with("tokenize")) return R"({"tokens":[5,6,7,8,9,5,4]})";
  if (path == "/flush_cache") return "{}";
  return body;
}

// Fewer requests than any healthy run would need are never an error of the input's.
void attempt(const auto& body) {
  try {
    body();
  } catch (const pkv::Error& error) {
    if (error.kind() == pkv::Error::Kind::internal) std::abort();
  }
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace pkv;
  if (size == 0 || size > 20'000) return 0;
  const Known& known = kKnown[bytes[0] % std::size(kKnown)];
  const std::string_view body(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  servers::metric(body, "a");
  servers::Endpoint endpoint{.url = "http://h", .api = known.api, .retries = 0};
  endpoint.send = [&](const http::Request& request, const http::Connection::Handlers& handlers) {
    http::Response response;
    response.status = 200;
    if (handlers.begin) handlers.begin(response);
    if (handlers.body) handlers.body(answer_to(request.url, known, body));
    return response;
  };
  attempt([&] {
    const auto server = servers::connect(endpoint);
    const served::Report report =
        served::check(*server, {.text = "a b", .options = {.prefixes = {3}, .new_tokens = 2, .flood = 1}});
    require(report.requests <= report.plan.requests);
    served::report_json(report);
    show::as_text(served::document(report));
  });
  attempt([&] {
    const auto server = servers::connect(endpoint);
    const served::Timing timing = served::time_first_tokens(*server, {.text = "a b", .repetitions = 1});
    served::report_json(timing);
    show::as_html(served::document(timing));
  });
  attempt([&] {
    const auto one = servers::connect(endpoint), other = servers::connect(endpoint);
    const served::Versus versus = served::compare(*one, *other, {.text = "a b", .options = {.prefixes = {3}}});
    require(versus.verdict.outcome != served::Outcome::differs || !versus.pairs.empty());
    served::report_json(versus);
  });
  return 0;
}
