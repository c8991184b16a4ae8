// llama.cpp's llama-server: /completion takes ids, gives raw log-probabilities in full float32 and says in
// timings.cache_n what it reused. `cache_prompt: false` computes a prompt anew. One slot is asked unless questions come
// at once, since another slot's past lies elsewhere in memory and may give other numbers.
#include <fmt/format.h>

#include "base/json_writer.h"
#include "servers/dialects.h"

namespace pkv::servers {
namespace {

class LlamaCpp : public Dialect {
 public:
  LlamaCpp(const Shared& exchange, const Endpoint& endpoint, const Models& models, const Json& props)
      : Dialect(exchange, endpoint) {
    const JsonNode node(props, exchange->where("/props"));
    about_.url = exchange->root();
    about_.api = "llama.cpp";
    about_.version = node.text_or("build_info", "");
    const std::string path = node.text_or("model_path", models.model);
    about_.model = path.substr(path.rfind('/') + 1);
    about_.cold = "cache_prompt: false";
    about_.vocab = models.vocab;
    constexpr std::int64_t kMost = 1'000'000'000;
    if (node.has("total_slots")) about_.slots = node.at("total_slots").integer(0, kMost);
    const auto defaults = node.find("default_generation_settings");
    if (defaults && defaults->is_object() && defaults->has("n_ctx")) {
      about_.context = defaults->at("n_ctx").integer(0, kMost);
    }
    about_.can = {.ids = true, .logprobs = true, .cold = true, .reports_reuse = true, .streams = true};
    // A name that it refuses, where it saves at all: nothing is written, and no slot is touched.
    about_.can.saves = exchange->post("/slots/0?action=save", R"({"filename": "../none"})").status == 400;
    if (about_.slots > 1) {
      about_.notes.emplace_back(
          "the server has several slots and may keep pasts outside of them: what was reused is read from its answers, "
          "not from what was left there");
    }
  }

  std::vector<std::int32_t> tokenize(const std::string& text) override {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("content", text);
      w.member("add_special", true);
    });
    const Json answer = exchange().must_post("/tokenize", w.text());
    return read_ids(JsonNode(answer, exchange().where("/tokenize")).at("tokens"));
  }

  std::pair<std::int64_t, std::int64_t> save_and_restore() override {
    const std::string name = fmt::format(R"({{"filename": "{}.pkv"}})", kept_);
    const int to = about_.slots > 1 ? 1 : 0;
    const auto count = [&](const std::string& path, const char* key) {
      const Json answer = exchange().must_post(path, name);
      return JsonNode(answer, exchange().where(path)).at(key).integer(0, 1'000'000'000);
    };
    const std::int64_t saved = count("/slots/0?action=save", "n_saved");
    exchange().must_post("/slots/0?action=erase", "{}");
    const std::int64_t restored = count(fmt::format("/slots/{}?action=restore", to), "n_restored");
    slot_ = to;
    about_.notes.push_back(fmt::format("the server keeps {}.pkv in the folder of its saved slots", kept_));
    return {saved, restored};
  }

  std::vector<served::Reply> ask(std::span<const served::Question> questions) override {
    std::vector<served::Reply> replies = Dialect::ask(questions);
    slot_ = 0;
    return replies;
  }

 protected:
  Message message(const served::Question& q, bool alone) const override {
    JsonWriter w(JsonWriter::kOneLine);
    w.object([&] {
      w.member("prompt", q.ids);
      w.member("n_predict", q.new_tokens);
      w.member("temperature", 0);
      w.member("n_probs", endpoint().candidates);
      w.member("return_tokens", true);
      w.member("cache_prompt", q.past == served::Past::any);
      if (alone) w.member("id_slot", slot_);
      if (q.stream) w.member("stream", true);
    });
    return {"/completion", std::move(w).text()};
  }

  served::Reply read(const JsonNode& answer, const served::Question&) const override {
    served::Reply reply{.text = answer.at("content").text()};
    if (answer.has("tokens")) reply.ids = read_ids(answer.at("tokens"));
    read_counts(answer, reply);
    const std::vector<JsonNode> steps = answer.at("completion_probabilities").elements();
    if (steps.empty()) return reply;
    add_candidates(reply, steps.front().at("top_logprobs"), true);
    return reply;
  }

  // The first parts may tell of progress, and the last one of what it took.
  bool read_part(const JsonNode& part, served::Reply& reply) const override {
    read_counts(part, reply);
    return add_text(part, "content", reply);
  }

 private:
  static void read_counts(const JsonNode& answer, served::Reply& reply) {
    const auto timings = answer.find("timings");
    if (timings && timings->is_object()) read_count(*timings, "cache_n", reply.reused);
    read_count(answer, "tokens_evaluated", reply.prompt_tokens);
  }

  int slot_ = 0;
  std::string kept_ = "pkv-check";
};

}  // namespace

std::unique_ptr<Dialect> llama_cpp(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named) {
  const Answer props = exchange->get("/props");
  const bool is = props.good() && props.json && props.json->find("build_info") != nullptr &&
                  props.json->find("total_slots") != nullptr;
  if (is) return std::make_unique<LlamaCpp>(exchange, endpoint, models, *props.json);
  if (!named) return nullptr;
  fail_other_server(*exchange, "/props", "not llama.cpp's server", "build_info and total_slots", props);
}

}  // namespace pkv::servers
