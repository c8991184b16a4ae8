#include "servers/dialect.h"

#include <fmt/format.h>

#include <cmath>
#include <exception>
#include <limits>
#include <thread>

#include "base/error.h"

namespace pkv::servers {
namespace {

constexpr std::int64_t kMostIds = std::numeric_limits<std::int32_t>::max();
constexpr double kFloor = -9999;  // what vLLM and TensorRT-LLM write for minus infinity

}  // namespace

std::vector<std::int32_t> Dialect::tokenize(const std::string&) {
  fail_usage({.what = "this server does not say what the tokens of a text are",
              .where = about_.url,
              .hint = "--ids with the prompt's token ids"});
}

std::vector<served::Reply> Dialect::ask(std::span<const served::Question> questions) {
  exchange_->pace(std::ssize(questions));
  if (questions.front().past == served::Past::none) forget();
  std::vector<served::Reply> replies(questions.size());
  std::vector<std::exception_ptr> failures(questions.size());
  const auto one = [&](std::size_t i) {
    try {
      replies[i] = answer(questions[i], questions.size() == 1);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  };
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < questions.size(); ++i) others.emplace_back(one, i);
  one(0);
  others.clear();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  requests_ += std::ssize(questions);
  return replies;
}

served::Reply Dialect::answer(const served::Question& question, bool alone) {
  const Message m = message(question, alone);
  double seconds = 0;
  served::Reply reply;
  if (question.stream) {
    for (const Event& event : exchange_->must_stream(m.path, m.json, seconds)) {
      const bool token = read_part(JsonNode(event.json, exchange_->where(m.path)), reply);
      if (token && !reply.first_seconds) reply.first_seconds = event.seconds;
    }
  } else {
    const Json answer = exchange_->must_post(m.path, m.json, &seconds);
    reply = read(JsonNode(answer, exchange_->where(m.path)), question);
  }
  reply.seconds = seconds;
  return reply;
}

void add_candidate(served::Reply& reply, std::optional<std::int32_t> id, std::string token, const JsonNode& logprob) {
  const auto odd = [&](std::string what) { reply.findings.push_back(std::move(what)); };
  if (!logprob.value().is_number()) return odd("a log-probability that is no number");
  const double value = logprob.value().number();
  if (value <= kFloor) return odd("a log-probability of -9999, which stands for one that it does not have");
  if (value > 0) return odd("a log-probability above 0");
  reply.candidates.push_back({.id = id, .token = std::move(token), .logprob = value});
}

void add_candidates(served::Reply& reply, const JsonNode& list, bool ids) {
  for (const JsonNode& c : list.elements()) {
    std::optional<std::int32_t> id;
    if (ids) id = static_cast<std::int32_t>(c.at("id").integer(0, kMostIds));
    add_candidate(reply, id, c.text_or(c.has("token") ? "token" : "text", ""), c.at("logprob"));
  }
}

void fail_other_server(const Exchange& exchange, const std::string& path, std::string what, std::string expected,
                       const Answer& answer) {
  fail_load({.what = std::move(what),
             .where = exchange.where(path),
             .expected = std::move(expected),
             .found = fmt::format("{}: {}", answer.status, answer.message)});
}

void read_usage(const JsonNode& answer, served::Reply& reply) {
  const auto usage = answer.find("usage");
  if (!usage || !usage->is_object()) return;
  read_count(*usage, "prompt_tokens", reply.prompt_tokens);
  const auto details = usage->find("prompt_tokens_details");
  if (details && details->is_object()) read_count(*details, "cached_tokens", reply.reused);
}

void read_count(const JsonNode& answer, const char* key, std::optional<std::int64_t>& count) {
  constexpr std::int64_t kMost = 1'000'000'000;
  if (answer.has(key)) count = answer.at(key).integer(0, kMost);
}

JsonNode choice_of(const JsonNode& answer) {
  const auto choices = answer.at("choices").elements();
  if (choices.empty()) answer.at("choices").wrong("a choice");
  return choices.front();
}

bool read_choice_part(const JsonNode& part, served::Reply& reply) {
  read_usage(part, reply);
  if (!part.has("choices")) return false;
  bool token = false;
  for (const JsonNode& choice : part.at("choices").elements()) {
    if (choice.has("text")) token |= add_text(choice, "text", reply);
    for (const char* key : {"delta", "message"}) {
      if (choice.has(key)) token |= add_text(choice.at(key), "content", reply);
    }
  }
  return token;
}

void read_dictionary(const JsonNode& choice, const std::function<void(const std::string&, const JsonNode&)>& add) {
  const auto logprobs = choice.find("logprobs");
  if (!logprobs || !logprobs->is_object() || !logprobs->has("top_logprobs")) return;
  const auto steps = logprobs->at("top_logprobs").elements();
  if (steps.empty() || steps.front().is_null()) return;
  for (const auto& [token, value] : steps.front().members()) add(token, value);
}

bool add_text(const JsonNode& part, const char* key, served::Reply& reply) {
  const std::string text = part.text_or(key, "");
  reply.text += text;
  return !text.empty();
}

std::vector<std::int32_t> read_ids(const JsonNode& list) {
  std::vector<std::int32_t> ids;
  for (const JsonNode& id : list.elements()) ids.push_back(static_cast<std::int32_t>(id.integer(0, kMostIds)));
  return ids;
}

}  // namespace pkv::servers
