// vLLM: /v1/completions takes ids; what is kept under one cache_salt is used for that salt alone, so that a new one
// computes a prompt anew. Log-probabilities are those of at most 20 tokens unless the server allows more.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/json_writer.h"
#include "servers/dialects.h"

namespace pkv::servers {
namespace {

constexpr int kMostOfVllm = 20;
constexpr std::string_view kTokenId = "token_id:";

class Vllm : public Dialect {
 public:
  Vllm(const Shared& exchange, const Endpoint& endpoint, const Models& models, const std::string& version)
      : Dialect(exchange, endpoint) {
    about_ = {.url = exchange->root(), .api = "vLLM", .version = version, .model = models.model};
    about_.cold = "a cache_salt of its own";
    about_.context = models.context;
    about_.can = {.ids = true, .logprobs = true, .cold = true, .reports_reuse = true, .prompt_logprobs = true};
  }

  std::vector<std::int32_t> tokenize(const std::string& text) override {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("model", about_.model);
      w.member("prompt", text);
    });
    const Json answer = exchange().must_post("/tokenize", w.text());
    return read_ids(JsonNode(answer, exchange().where("/tokenize")).at("tokens"));
  }

 protected:
  Message message(const served::Question& q, bool) const override {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("model", about_.model);
      w.member("prompt", q.ids);
      w.member("max_tokens", q.new_tokens);
      w.member("temperature", 0);
      w.member("top_p", 1);
      w.member("repetition_penalty", 1);
      w.member("logprobs", std::min(kMostOfVllm, endpoint().candidates));
      w.member("return_token_ids", true);
      w.member("return_tokens_as_token_ids", true);
      w.member("cache_salt", q.key);
      if (q.prompt_logprobs) w.member("prompt_logprobs", 0);
    });
    return {"/v1/completions", std::move(w).text()};
  }

  served::Reply read(const JsonNode& answer, const served::Question& q) const override {
    const std::vector<JsonNode> choices = answer.at("choices").elements();
    if (choices.empty()) answer.at("choices").wrong("a choice");
    const JsonNode& choice = choices.front();
    served::Reply reply{.text = choice.at("text").text()};
    read_usage(answer, reply);
    if (choice.has("token_ids")) reply.ids = read_ids(choice.at("token_ids"));
    const auto logprobs = choice.find("logprobs");
    if (logprobs && logprobs->is_object() && logprobs->has("top_logprobs")) {
      const auto steps = logprobs->at("top_logprobs").elements();
      if (!steps.empty()) {
        for (const auto& [token, value] : steps.front().members()) add(reply, token, value);
      }
    }
    if (q.prompt_logprobs && choice.has("prompt_logprobs")) read_prompt(choice.at("prompt_logprobs"), q, reply);
    return reply;
  }

 private:
  // "token_id:123"; a text where the server is too old to name ids.
  static void add(served::Reply& reply, const std::string& token, const JsonNode& value) {
    std::int32_t id = 0;
    const std::string_view digits =
        token.starts_with(kTokenId) ? std::string_view(token).substr(kTokenId.size()) : std::string_view();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    const bool is_id = !digits.empty() && error == std::errc() && end == digits.data() + digits.size();
    add_candidate(reply, is_id ? std::optional(id) : std::nullopt, is_id ? "" : token, value);
  }

  // A dictionary by id for each token but the first, which has null.
  static void read_prompt(const JsonNode& list, const served::Question& q, served::Reply& reply) {
    std::size_t at = 0;
    for (const JsonNode& position : list.elements()) {
      const std::size_t token = at++;
      if (position.is_null() || token >= q.ids.size()) continue;
      const auto entry = position.find(std::to_string(q.ids[token]));
      if (entry && entry->is_object()) reply.prompt_logprobs.push_back(entry->at("logprob").number());
    }
  }
};

}  // namespace

std::unique_ptr<Dialect> vllm(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named) {
  if (!named && models.owner != "vllm") return nullptr;
  const Answer version = exchange->get("/version");
  const Json* number = version.good() && version.json ? version.json->find("version") : nullptr;
  if (number != nullptr && number->is_text()) {
    return std::make_unique<Vllm>(exchange, endpoint, models, number->text());
  }
  if (!named) return nullptr;
  fail_other_server(*exchange, "/version", "not vLLM's server", "a version", version);
}

}  // namespace pkv::servers
