// Whatever has OpenAI's routes: /v1/completions, or /v1/chat/completions where that is missing. Text in, few candidates
// by text, and only fields that all of them know, since some refuse others. Two of them are known by name:
// llama-cpp-python's llama_cpp.server, which gives as many candidates as are asked for and scores the prompt, and
// `transformers serve`, which gives none.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json_writer.h"
#include "servers/dialects.h"

namespace pkv::servers {
namespace {

constexpr int kMostCompletion = 5, kMostChat = 20;

enum class Kin : std::uint8_t { plain, llama_cpp_python, transformers };

// `tokens` of the answer to /extras/tokenize are those of the prompt, but a completion takes none.
Kin kin_of(Exchange& exchange, const Models& models) {
  if (models.owner == "me" && exchange.post("/extras/tokenize", R"({"input": "Hello"})").good()) {
    return Kin::llama_cpp_python;
  }
  if (models.says_status && exchange.get("/load_model").status == 405) return Kin::transformers;  // it is there
  return Kin::plain;
}

class OpenAi : public Dialect {
 public:
  OpenAi(const Shared& exchange, const Endpoint& endpoint, const Models& models, Kin kin, bool chat)
      : Dialect(exchange, endpoint), chat_(chat) {
    about_ = {.url = exchange->root(), .api = chat ? "OpenAI chat" : "OpenAI completions", .model = models.model};
    about_.context = models.context;
    about_.can = {.logprobs = true, .streams = true};
    most_ = chat ? kMostChat : kMostCompletion;
    if (chat) about_.notes.emplace_back("the server's chat template stands around the text");
    if (kin == Kin::llama_cpp_python) {
      about_.api = "llama_cpp.server";
      most_ = endpoint.candidates;
      about_.can.prompt_logprobs = !chat;
      about_.notes.emplace_back(
          "the server answers one request after another, and keeps the past of the last one alone");
    }
    if (kin == Kin::transformers) {
      about_.api = "transformers serve";
      about_.can.logprobs = false;
      about_.notes.emplace_back(
          "the server takes `logprobs` and leaves it out of its answers; without --continuous-batching it keeps no "
          "past between requests");
    }
  }

  Message first_message() const { return message({.text = "Hello"}, true); }

 protected:
  Message message(const served::Question& q, bool) const override {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("model", about_.model);
      if (chat_) {
        w.array("messages", [&] {
          w.object([&] {
            w.member("role", "user");
            w.member("content", q.text);
          });
        });
      } else {
        w.member("prompt", q.text);
      }
      if (!q.stream) ask_for_candidates(w);
      if (q.prompt_logprobs) w.member("echo", true);
      w.member("max_tokens", q.new_tokens);
      w.member("temperature", 0);
      if (q.stream) w.member("stream", true);
    });
    return {chat_ ? "/v1/chat/completions" : "/v1/completions", std::move(w).text()};
  }

  served::Reply read(const JsonNode& answer, const served::Question& q) const override {
    const JsonNode choice = choice_of(answer);
    served::Reply reply;
    reply.text = chat_ ? choice.at("message").text_or("content", "") : choice.at("text").text();
    read_usage(answer, reply);
    const auto logprobs = choice.find("logprobs");
    if (!logprobs || !logprobs->is_object()) return reply;
    if (q.prompt_logprobs) {
      read_echo(*logprobs, q, reply);
    } else if (logprobs->has("content")) {  // some answer completions in the shape of a chat
      const auto steps = logprobs->at("content").elements();
      if (!steps.empty()) add_candidates(reply, steps.front().at("top_logprobs"), false);
    } else {
      read_dictionary(choice, [&](const std::string& token, const JsonNode& value) {
        add_candidate(reply, std::nullopt, token, value);
      });
    }
    return reply;
  }

  bool read_part(const JsonNode& part, served::Reply& reply) const override { return read_choice_part(part, reply); }

 private:
  void ask_for_candidates(JsonWriter& w) const {
    const int k = std::min(most_, endpoint().candidates);
    if (chat_) {
      w.member("logprobs", true);
      w.member("top_logprobs", k);
    } else {
      w.member("logprobs", k);
    }
  }

  // Of the prompt's tokens, the first of which has none, and then of those written.
  static void read_echo(const JsonNode& logprobs, const served::Question& q, served::Reply& reply) {
    if (!logprobs.has("token_logprobs")) return;
    const auto tokens = logprobs.at("token_logprobs").elements();
    const std::size_t prompt = tokens.size() - std::min(tokens.size(), static_cast<std::size_t>(q.new_tokens));
    for (std::size_t i = 0; i < prompt; ++i) {
      if (!tokens[i].is_null()) reply.prompt_logprobs.push_back(tokens[i].number());
    }
  }

  bool chat_;
  int most_ = 0;  // candidates
};

}  // namespace

std::unique_ptr<Dialect> openai(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool) {
  const Kin kin = kin_of(*exchange, models);
  for (const bool chat : {false, true}) {
    auto dialect = std::make_unique<OpenAi>(exchange, endpoint, models, kin, chat);
    const auto [path, json] = dialect->first_message();
    const Answer answer = exchange->post(path, json);
    if (answer.good() && answer.json) return dialect;
    const bool missing = answer.status == 404 || answer.status == 405 || answer.status == 501;
    if (missing && !chat) continue;
    fail_load({.what = missing ? "nothing that answers like a server of a language model" : "the server refuses",
               .where = exchange->where(path),
               .found = fmt::format("{}: {}", answer.status, answer.message),
               .hint = answer.status == 401 || answer.status == 403 ? "--api-key, or PKV_API_KEY in the environment"
                       : missing                                    ? "--api with what it speaks"
                                                                    : "--model-name NAME"});
  }
  return nullptr;
}

}  // namespace pkv::servers
