// Whatever has OpenAI's routes: /v1/completions, or /v1/chat/completions where that is missing. Text in, few candidates
// by text, and only fields that all of them know, since some refuse others.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json_writer.h"
#include "servers/dialects.h"

namespace pkv::servers {
namespace {

constexpr int kMostCompletion = 5, kMostChat = 20;

class OpenAi : public Dialect {
 public:
  OpenAi(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool chat)
      : Dialect(exchange, endpoint), chat_(chat) {
    about_ = {.url = exchange->root(), .api = chat ? "OpenAI chat" : "OpenAI completions", .model = models.model};
    about_.can = {.logprobs = true};
    if (chat) about_.notes.emplace_back("the server's chat template stands around the text");
  }

  static std::string request(const std::string& model, const std::string& text, int new_tokens, int candidates,
                             bool chat) {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("model", model);
      if (chat) {
        w.array("messages", [&] {
          w.object([&] {
            w.member("role", "user");
            w.member("content", text);
          });
        });
        w.member("logprobs", true);
        w.member("top_logprobs", std::min(kMostChat, candidates));
      } else {
        w.member("prompt", text);
        w.member("logprobs", std::min(kMostCompletion, candidates));
      }
      w.member("max_tokens", new_tokens);
      w.member("temperature", 0);
    });
    return std::move(w).text();
  }
  static std::string route(bool chat) { return chat ? "/v1/chat/completions" : "/v1/completions"; }

 protected:
  Message message(const served::Question& q, bool) const override {
    return {route(chat_), request(about_.model, q.text, q.new_tokens, endpoint().candidates, chat_)};
  }

  served::Reply read(const JsonNode& answer, const served::Question&) const override {
    const auto choices = answer.at("choices").elements();
    if (choices.empty()) answer.at("choices").wrong("a choice");
    const JsonNode& choice = choices.front();
    served::Reply reply;
    reply.text = chat_ ? choice.at("message").text_or("content", "") : choice.at("text").text();
    read_usage(answer, reply);
    const auto logprobs = choice.find("logprobs");
    if (!logprobs || !logprobs->is_object()) return reply;
    // Some answer completions in the shape of a chat.
    if (logprobs->has("content")) {
      const auto steps = logprobs->at("content").elements();
      if (steps.empty()) return reply;
      add_candidates(reply, steps.front().at("top_logprobs"), false);
    } else if (logprobs->has("top_logprobs")) {
      const auto steps = logprobs->at("top_logprobs").elements();
      if (steps.empty() || steps.front().is_null()) return reply;
      for (const auto& [token, value] : steps.front().members()) add_candidate(reply, std::nullopt, token, value);
    }
    return reply;
  }

 private:
  bool chat_;
};

}  // namespace

std::unique_ptr<Dialect> openai(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool) {
  for (const bool chat : {false, true}) {
    const std::string probe = OpenAi::request(models.model, "Hello", 1, 1, chat);
    const Answer answer = exchange->post(OpenAi::route(chat), probe);
    if (answer.good() && answer.json) return std::make_unique<OpenAi>(exchange, endpoint, models, chat);
    const bool missing = answer.status == 404 || answer.status == 405 || answer.status == 501;
    if (missing && !chat) continue;
    fail_load({.what = missing ? "nothing that answers like a server of a language model" : "the server refuses",
               .where = exchange->where(OpenAi::route(chat)),
               .found = fmt::format("{}: {}", answer.status, answer.message),
               .hint = answer.status == 401 || answer.status == 403 ? "--api-key, or PKV_API_KEY in the environment"
                       : missing                                    ? "--api with what it speaks"
                                                                    : "--model-name NAME"});
  }
  return nullptr;
}

}  // namespace pkv::servers
