// vLLM: /v1/completions takes ids; what is kept under one cache_salt is used for that salt alone, so that a new one
// computes a prompt anew. Log-probabilities are those of at most 20 tokens unless the server allows more.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/json_writer.h"
#include "files/http/http.h"
#include "servers/dialects.h"
#include "servers/metrics.h"

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
    about_.can = {
        .ids = true, .logprobs = true, .cold = true, .reports_reuse = true, .prompt_logprobs = true, .streams = true};
    counters_ = counted();
  }

  std::vector<served::Reply> ask(std::span<const served::Question> questions) override {
    // A usage that leaves the count out may mean none, or that it never counts.
    const bool count = counters_ && !told_ && questions.size() == 1;
    const auto before = count ? counted() : std::nullopt;
    std::vector<served::Reply> replies = Dialect::ask(questions);
    if (replies.front().reused) told_ = true;
    if (before && !told_) replies.front().reused = hits_since(*before, replies.front());
    return replies;
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
      if (q.stream) {
        w.member("stream", true);
        w.object("stream_options", [&] { w.member("include_usage", true); });
      }
    });
    return {"/v1/completions", std::move(w).text()};
  }

  served::Reply read(const JsonNode& answer, const served::Question& q) const override {
    const JsonNode choice = choice_of(answer);
    served::Reply reply{.text = choice.at("text").text()};
    read_usage(answer, reply);
    if (choice.has("token_ids")) reply.ids = read_ids(choice.at("token_ids"));
    read_dictionary(choice, [&](const std::string& token, const JsonNode& value) { add(reply, token, value); });
    if (q.prompt_logprobs && choice.has("prompt_logprobs")) read_prompt(choice.at("prompt_logprobs"), q, reply);
    return reply;
  }

  bool read_part(const JsonNode& part, served::Reply& reply) const override { return read_choice_part(part, reply); }

 private:
  // Tokens of prompts that were looked for in the cache since the server started, and those found.
  struct Counters {
    double queries = 0, hits = 0;
  };

  // Nothing where it does not count, or not where anybody may read it.
  std::optional<Counters> counted() {
    const auto page = exchange().text("/metrics");
    if (!page) return std::nullopt;
    const auto sum = [&](std::string_view name) {
      const auto v1 = metric(*page, fmt::format("vllm:{}_total", name));
      return v1 ? v1 : metric(*page, fmt::format("vllm:gpu_{}_total", name));
    };
    const auto queries = sum("prefix_cache_queries"), hits = sum("prefix_cache_hits");
    if (!queries || !hits) return std::nullopt;
    return Counters{*queries, *hits};
  }

  // They count for everybody, so what was looked for must be this prompt alone; and they may come late.
  std::optional<std::int64_t> hits_since(const Counters& before, const served::Reply& reply) {
    constexpr int kTries = 10;
    constexpr std::chrono::milliseconds kRest(50);
    for (int tried = 0; tried < kTries; ++tried) {
      const auto now = counted();
      if (!now) return std::nullopt;
      const double queries = now->queries - before.queries;
      if (reply.prompt_tokens && queries == static_cast<double>(*reply.prompt_tokens)) {
        note("what was reused is read from the server's /metrics, since its answers do not say it");
        return static_cast<std::int64_t>(now->hits - before.hits);
      }
      if (reply.prompt_tokens && queries > static_cast<double>(*reply.prompt_tokens)) {
        note("others ask the server at the same time, so that its /metrics do not tell what was reused");
        return std::nullopt;
      }
      http::rest(kRest, endpoint().stop);
    }
    return std::nullopt;
  }

  void note(const std::string& text) {
    if (std::ranges::find(about_.notes, text) == about_.notes.end()) about_.notes.push_back(text);
  }

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

  std::optional<Counters> counters_;  // where it has such at all
  bool told_ = false;                 // an answer said what was reused
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
