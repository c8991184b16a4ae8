// SGLang: /generate takes ids, names candidates by id and says what it reused. /flush_cache forgets everything, for
// everybody, and refuses while requests run.
#include <fmt/format.h>

#include "base/error.h"
#include "base/json_writer.h"
#include "servers/dialects.h"

namespace pkv::servers {
namespace {

class Sglang : public Dialect {
 public:
  Sglang(const Shared& exchange, const Endpoint& endpoint, const Models& models, const Json& info)
      : Dialect(exchange, endpoint) {
    const JsonNode node(info, exchange->where("/server_info"));
    about_ = {.url = exchange->root(), .api = "SGLang", .version = node.text_or("version", ""), .model = models.model};
    about_.cold = "/flush_cache before it";
    about_.context = models.context;
    about_.can = {
        .ids = true, .logprobs = true, .cold = true, .reports_reuse = true, .prompt_logprobs = true, .streams = true};
    if (node.flag_or("disable_radix_cache", false)) {
      about_.notes.emplace_back("the server runs with --disable-radix-cache: it keeps nothing");
    }
  }

  std::vector<std::int32_t> tokenize(const std::string& text) override {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] { w.member("prompt", text); });
    const Answer answer = exchange().post("/tokenize", w.text());
    if (!answer.good() || !answer.json) return Dialect::tokenize(text);
    return read_ids(JsonNode(*answer.json, exchange().where("/tokenize")).at("tokens"));
  }

 protected:
  void forget() override {
    const Answer answer = exchange().post("/flush_cache", "");
    if (answer.good()) return;
    fail_load({.what = "the server does not forget what it has kept",
               .where = exchange().where("/flush_cache"),
               .found = fmt::format("{}: {}", answer.status, answer.message),
               .hint = "again when nobody else asks it anything"});
  }

  Message message(const served::Question& q, bool) const override {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("input_ids", q.ids);
      w.object("sampling_params", [&] {
        w.member("temperature", 0);
        w.member("max_new_tokens", q.new_tokens);
      });
      w.member("return_logprob", true);
      w.member("top_logprobs_num", endpoint().candidates);
      w.member("logprob_start_len", q.prompt_logprobs ? 0 : -1);
      if (q.stream) w.member("stream", true);
    });
    return {"/generate", std::move(w).text()};
  }

  served::Reply read(const JsonNode& answer, const served::Question& q) const override {
    const JsonNode meta = answer.at("meta_info");
    served::Reply reply{.text = answer.text_or("text", "")};
    if (answer.has("output_ids")) reply.ids = read_ids(answer.at("output_ids"));
    read_counts(meta, reply);
    if (q.prompt_logprobs && meta.has("input_token_logprobs")) {
      for (const JsonNode& token : meta.at("input_token_logprobs").elements()) {
        const auto parts = token.elements();
        if (!parts.empty() && !parts[0].is_null()) reply.prompt_logprobs.push_back(parts[0].number());
      }
    }
    const auto steps = meta.at("output_top_logprobs").elements();
    if (steps.empty()) return reply;
    // [log-probability, id, text or null]
    for (const JsonNode& c : steps.front().elements()) {
      const auto parts = c.elements();
      if (parts.size() < 2) c.wrong("a log-probability and an id");
      const bool named = parts.size() > 2 && parts[2].is_text();
      add_candidate(reply, static_cast<std::int32_t>(parts[1].integer(0, INT32_MAX)), named ? parts[2].text() : "",
                    parts[0]);
    }
    return reply;
  }

  // Each part holds the whole text so far.
  bool read_part(const JsonNode& part, served::Reply& reply) const override {
    if (part.has("meta_info")) read_counts(part.at("meta_info"), reply);
    reply.text.clear();
    return add_text(part, "text", reply);
  }

 private:
  static void read_counts(const JsonNode& meta, served::Reply& reply) {
    read_count(meta, "cached_tokens", reply.reused);
    read_count(meta, "prompt_tokens", reply.prompt_tokens);
  }
};

}  // namespace

std::unique_ptr<Dialect> sglang(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named) {
  if (!named && models.owner != "sglang") return nullptr;
  Answer info = exchange->get("/server_info");
  if (!info.good()) info = exchange->get("/get_server_info");
  if (info.good() && info.json && info.json->is_object()) {
    return std::make_unique<Sglang>(exchange, endpoint, models, *info.json);
  }
  if (!named) return nullptr;
  fail_other_server(*exchange, "/server_info", "not SGLang's server", "what it was started with", info);
}

}  // namespace pkv::servers
