#include "servers/servers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/nearest.h"
#include "servers/dialects.h"

namespace pkv::servers {
namespace {

using Try = std::unique_ptr<Dialect> (*)(const Shared&, const Endpoint&, const Models&, bool);

struct Row {
  std::string_view name;
  Try speak;
};

// In the order in which they are tried: sure signs first.
constexpr Row kDialects[] = {{"llama.cpp", llama_cpp},   {"vllm", vllm}, {"sglang", sglang},
                             {"tensorrt-llm", tensorrt}, {"tgi", tgi},   {"ollama", ollama},
                             {"openai", openai}};

constexpr auto kNames = [] {
  std::array<std::string_view, std::size(kDialects)> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kDialects[i].name;
  return names;
}();

std::optional<std::int64_t> count_of(const Json* at, const char* key) {
  const Json* value = at == nullptr ? nullptr : at->find(key);
  if (value == nullptr || !value->fits(1, 1'000'000'000)) return {};
  return value->integer();
}

std::string text_of(const Json& at, const char* key) {
  const Json* value = at.find(key);
  return value != nullptr && value->is_text() ? value->text() : std::string();
}

// Nothing where the server has no such list.
Models models_of(Exchange& exchange, const Endpoint& endpoint) {
  const Answer answer = exchange.get("/v1/models");
  if (answer.status == 401 || answer.status == 403) {
    fail_load({.what = endpoint.key.empty() ? "the server wants a key" : "the server does not take the key",
               .where = exchange.where("/v1/models"),
               .found = fmt::format("{}: {}", answer.status, answer.message),
               .hint = "--api-key, or PKV_API_KEY in the environment"});
  }
  Models models{.model = endpoint.model};
  const Json* list = answer.good() && answer.json ? answer.json->find("data") : nullptr;
  if (list == nullptr || !list->is_array()) return models;
  for (const Json& one : list->elements()) {
    const std::string id = text_of(one, "id");
    if (!endpoint.model.empty() && id != endpoint.model) continue;
    models.model = id;
    models.owner = text_of(one, "owned_by");
    models.context = count_of(&one, "max_model_len");
    models.vocab = count_of(one.find("meta"), "n_vocab");
    models.says_status = one.find("status") != nullptr && one.find("status")->is_object();
    return models;
  }
  if (!endpoint.model.empty() && !list->elements().empty()) {
    std::vector<std::string> ids;
    for (const Json& one : list->elements()) ids.push_back(text_of(one, "id"));
    fail_usage({.what = "the server has no such model",
                .where = exchange.where("/v1/models"),
                .expected = fmt::format("{}", fmt::join(ids, ", ")),
                .found = endpoint.model});
  }
  return models;
}

}  // namespace

std::span<const std::string_view> dialects() { return kNames; }

std::unique_ptr<served::Server> connect(const Endpoint& endpoint) {
  const auto exchange = std::make_shared<Exchange>(endpoint);
  const Models models = models_of(*exchange, endpoint);
  for (const Row& row : kDialects) {
    if (!endpoint.api.empty() && endpoint.api != row.name) continue;
    if (auto server = row.speak(exchange, endpoint, models, endpoint.api == row.name)) return server;
  }
  fail_usage({.what = "no such dialect",
              .where = "--api",
              .expected = fmt::format("{}", fmt::join(kNames, ", ")),
              .found = endpoint.api});
}

}  // namespace pkv::servers
