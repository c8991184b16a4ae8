// What is common to all dialects: a subject that sends each question as one request. A dialect says what to send and
// how to read what comes back; a new one is a file with a class, and a line in kDialects (servers.cc).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/json_node.h"
#include "checker/served/server.h"
#include "servers/exchange.h"

namespace pkv::servers {

class Dialect : public served::Server {
 public:
  Dialect(std::shared_ptr<Exchange> exchange, const Endpoint& endpoint)
      : exchange_(std::move(exchange)), endpoint_(endpoint) {}

  const served::About& about() const override { return about_; }
  std::vector<std::int32_t> tokenize(const std::string& text) override;
  std::vector<served::Reply> ask(std::span<const served::Question> questions) override;
  std::pair<std::int64_t, std::int64_t> save_and_restore() override { return {}; }

  struct Message {
    std::string path, json;
  };

 protected:
  // What is sent first so that nothing kept is used, if the dialect has such a thing.
  virtual void forget() {}
  // `alone`: no other question is asked at the same time.
  virtual Message message(const served::Question& question, bool alone) const = 0;
  virtual served::Reply read(const JsonNode& answer, const served::Question& question) const = 0;
  // A part of an answer that comes in parts: adds what it says to `reply`; whether it brings a token.
  virtual bool read_part(const JsonNode& part, served::Reply& reply) const = 0;

  Exchange& exchange() { return *exchange_; }
  const Endpoint& endpoint() const { return endpoint_; }
  served::About about_;

 private:
  served::Reply answer(const served::Question& question, bool alone);

  std::shared_ptr<Exchange> exchange_;
  Endpoint endpoint_;
};

// Adds a candidate; says in `findings` what is no log-probability (NaN, above 0, the floor of -9999).
void add_candidate(served::Reply& reply, std::optional<std::int32_t> id, std::string token, const JsonNode& logprob);
// The same of a list of objects {id, token or text, logprob}; `ids`: each must have an id, else none is read.
void add_candidates(served::Reply& reply, const JsonNode& list, bool ids);
// Error::load: the user named a dialect that the server does not speak. `what`: "not vLLM's server".
[[noreturn]] void fail_other_server(const Exchange& exchange, const std::string& path, std::string what,
                                    std::string expected, const Answer& answer);
// usage.prompt_tokens_details.cached_tokens and usage.prompt_tokens, where they are.
void read_usage(const JsonNode& answer, served::Reply& reply);
// The number of tokens under `key`, where there is one.
void read_count(const JsonNode& answer, const char* key, std::optional<std::int64_t>& count);
// Adds the text under `key`; whether there is any.
bool add_text(const JsonNode& part, const char* key, served::Reply& reply);
// Of OpenAI's routes: the answer's choice, and Dialect::read_part of either route.
JsonNode choice_of(const JsonNode& answer);
bool read_choice_part(const JsonNode& part, served::Reply& reply);
// logprobs of a completion, a dictionary by token a step, or in the shape of a chat; `add` is given each token of the
// first step and its log-probability.
void read_dictionary(const JsonNode& choice, const std::function<void(const std::string&, const JsonNode&)>& add);
std::vector<std::int32_t> read_ids(const JsonNode& list);

}  // namespace pkv::servers
