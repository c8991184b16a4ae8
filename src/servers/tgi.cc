// Hugging Face's text-generation-inference: text in, five candidates by id, nothing said of what was reused.
#include <fmt/format.h>

#include <algorithm>

#include "base/json_writer.h"
#include "servers/dialects.h"

namespace pkv::servers {
namespace {

constexpr int kMostOfTgi = 5;

class Tgi : public Dialect {
 public:
  Tgi(const Shared& exchange, const Endpoint& endpoint, const Json& info) : Dialect(exchange, endpoint) {
    const JsonNode node(info, exchange->where("/info"));
    about_ = {.url = exchange->root(), .api = "TGI", .version = node.text_or("version", "")};
    about_.model = node.text_or("model_id", "");
    about_.can = {.logprobs = true, .streams = true};
  }

 protected:
  Message message(const served::Question& q, bool) const override {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("inputs", q.text);
      w.object("parameters", [&] {
        w.member("max_new_tokens", q.new_tokens);
        w.member("do_sample", false);
        w.member("details", true);
        w.member("top_n_tokens", std::min(kMostOfTgi, endpoint().candidates));
      });
    });
    return {q.stream ? "/generate_stream" : "/generate", std::move(w).text()};
  }

  served::Reply read(const JsonNode& answer, const served::Question&) const override {
    served::Reply reply{.text = answer.at("generated_text").text()};
    const JsonNode details = answer.at("details");
    for (const JsonNode& token : details.at("tokens").elements()) {
      reply.ids.push_back(static_cast<std::int32_t>(token.at("id").integer(0, INT32_MAX)));
    }
    if (!details.has("top_tokens")) return reply;
    const auto steps = details.at("top_tokens").elements();
    if (steps.empty()) return reply;
    add_candidates(reply, steps.front(), true);
    return reply;
  }

  bool read_part(const JsonNode& part, served::Reply& reply) const override {
    if (!part.has("token")) return false;
    reply.ids.push_back(static_cast<std::int32_t>(part.at("token").at("id").integer(0, INT32_MAX)));
    add_text(part.at("token"), "text", reply);
    return true;
  }
};

}  // namespace

std::unique_ptr<Dialect> tgi(const Shared& exchange, const Endpoint& endpoint, const Models&, bool named) {
  const Answer info = exchange->get("/info");
  const Json* router = info.good() && info.json ? info.json->find("router") : nullptr;
  if (router != nullptr && router->is_text() && router->text() == "text-generation-router") {
    return std::make_unique<Tgi>(exchange, endpoint, *info.json);
  }
  if (!named) return nullptr;
  fail_other_server(*exchange, "/info", "not a server of text-generation-inference",
                    "\"router\": \"text-generation-router\"", info);
}

}  // namespace pkv::servers
