// What is common to all dialects: a subject that sends each question as one request. A dialect says what to send and
// how to read what comes back; a new one is a file with a class, and a line in kDialects (servers.cc).
#pragma once

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

 protected:
  struct Message {
    std::string path, json;
  };
  // What is sent first so that nothing kept is used, if the dialect has such a thing.
  virtual void forget() {}
  // `alone`: no other question is asked at the same time.
  virtual Message message(const served::Question& question, bool alone) const = 0;
  virtual served::Reply read(const JsonNode& answer, const served::Question& question) const = 0;

  Exchange& exchange() { return *exchange_; }
  const Endpoint& endpoint() const { return endpoint_; }
  served::About about_;

 private:
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
std::vector<std::int32_t> read_ids(const JsonNode& list);

}  // namespace pkv::servers
