// TensorRT-LLM's trtllm-serve: /v1/completions takes ids and says what it reused, in blocks; candidates go by text. It
// refuses fields that it does not know, and cannot be told to reuse nothing.
#include <fmt/format.h>

#include <algorithm>

#include "base/json_writer.h"
#include "servers/dialects.h"

namespace pkv::servers {
namespace {

class TensorRt : public Dialect {
 public:
  TensorRt(const Shared& exchange, const Endpoint& endpoint, const Models& models, std::string version)
      : Dialect(exchange, endpoint) {
    about_ = {.url = exchange->root(), .api = "TensorRT-LLM", .version = std::move(version), .model = models.model};
    about_.context = models.context;
    about_.can = {.logprobs = true, .reports_reuse = true, .streams = true};
    about_.can.ids = asked_for_tokens("Hello").good();
    // How many candidates it gives depends on what it runs on: PyTorch gives some, older ones one or none.
    constexpr int kSteps[] = {20, 5, 1};
    for (const int k : kSteps) {
      candidates_ = std::min(k, endpoint.candidates);
      if (exchange->post("/v1/completions", message({.text = "Hello"}, true, false).json).good()) return;
    }
    candidates_ = 0;
    about_.can.logprobs = false;
    about_.notes.emplace_back("the server refuses to give log-probabilities");
  }

  std::vector<std::int32_t> tokenize(const std::string& text) override {
    const Answer answer = asked_for_tokens(text);
    if (!answer.good() || !answer.json) return Dialect::tokenize(text);
    return read_ids(JsonNode(*answer.json, exchange().where(kTokenize)).at("tokens"));
  }

 protected:
  Message message(const served::Question& q, bool) const override { return message(q, q.ids.empty(), q.stream); }

  served::Reply read(const JsonNode& answer, const served::Question&) const override {
    const JsonNode choice = choice_of(answer);
    served::Reply reply{.text = choice.at("text").text()};
    read_usage(answer, reply);
    read_dictionary(choice, [&](const std::string& token, const JsonNode& value) {
      add_candidate(reply, std::nullopt, token, value);
    });
    return reply;
  }

  bool read_part(const JsonNode& part, served::Reply& reply) const override { return read_choice_part(part, reply); }

 private:
  static constexpr const char* kTokenize = "/_internal/tokenize";

  Answer asked_for_tokens(const std::string& text) {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("model", about_.model);
      w.member("prompt", text);
    });
    return exchange().post(kTokenize, w.text());
  }

  Message message(const served::Question& q, bool as_text, bool stream) const {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("model", about_.model);
      if (as_text) {
        w.member("prompt", q.text);
      } else {
        w.member("prompt", q.ids);
      }
      w.member("max_tokens", q.new_tokens);
      w.member("temperature", 0);
      if (candidates_ > 0 && !stream) w.member("logprobs", candidates_);
      if (stream) {
        w.member("stream", true);
        w.object("stream_options", [&] { w.member("include_usage", true); });
      }
    });
    return {"/v1/completions", std::move(w).text()};
  }

  int candidates_ = 0;
};

}  // namespace

std::unique_ptr<Dialect> tensorrt(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named) {
  if (!named && models.owner != "tensorrt_llm") return nullptr;
  const Answer version = exchange->get("/version");
  const Json* number = version.good() && version.json ? version.json->find("version") : nullptr;
  if (models.owner != "tensorrt_llm" && number == nullptr) {
    fail_other_server(*exchange, "/version", "not TensorRT-LLM's server", "a version", version);
  }
  return std::make_unique<TensorRt>(exchange, endpoint, models,
                                    number != nullptr && number->is_text() ? number->text() : std::string());
}

}  // namespace pkv::servers
