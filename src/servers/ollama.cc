// Ollama: text in, at most 20 candidates by text. It neither says what it reused nor can be told to reuse nothing.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json_writer.h"
#include "servers/dialects.h"

namespace pkv::servers {
namespace {

constexpr int kMostOfOllama = 20;

class Ollama : public Dialect {
 public:
  Ollama(const Shared& exchange, const Endpoint& endpoint, std::string version, std::string model)
      : Dialect(exchange, endpoint) {
    about_ = {.url = exchange->root(), .api = "Ollama", .version = std::move(version), .model = std::move(model)};
    about_.can = {.logprobs = true, .streams = true};
  }

 protected:
  Message message(const served::Question& q, bool) const override {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("model", about_.model);
      w.member("prompt", q.text);
      w.member("raw", true);
      w.member("stream", q.stream);
      w.member("logprobs", true);
      w.member("top_logprobs", std::min(kMostOfOllama, endpoint().candidates));
      w.object("options", [&] {
        w.member("temperature", 0);
        w.member("num_predict", q.new_tokens);
        w.member("seed", 1);
      });
    });
    return {"/api/generate", std::move(w).text()};
  }

  served::Reply read(const JsonNode& answer, const served::Question&) const override {
    served::Reply reply{.text = answer.at("response").text()};
    if (!answer.has("logprobs")) return reply;
    const auto steps = answer.at("logprobs").elements();
    if (steps.empty() || !steps.front().has("top_logprobs")) return reply;
    for (const JsonNode& c : steps.front().at("top_logprobs").elements()) {
      // Some versions pass a probability on where a log-probability is missing.
      if (c.has("logprob") && c.at("logprob").value().is_number() && c.at("logprob").value().number() == 0) {
        reply.findings.emplace_back("a log-probability of exactly 0");
        continue;
      }
      add_candidate(reply, std::nullopt, c.text_or("token", ""), c.at("logprob"));
    }
    return reply;
  }

  bool read_part(const JsonNode& part, served::Reply& reply) const override {
    return add_text(part, "response", reply);
  }
};

}  // namespace

std::unique_ptr<Dialect> ollama(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named) {
  const Answer version = exchange->get("/api/version");
  const Json* number = version.good() && version.json ? version.json->find("version") : nullptr;
  if (number != nullptr && number->is_text()) {
    if (models.model.empty()) {
      fail_usage({.what = "the server has no model", .where = exchange->root(), .hint = "--model-name NAME"});
    }
    return std::make_unique<Ollama>(exchange, endpoint, number->text(), models.model);
  }
  if (!named) return nullptr;
  fail_other_server(*exchange, "/api/version", "not Ollama's server", "a version", version);
}

}  // namespace pkv::servers
