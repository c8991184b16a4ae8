// An engine asked as a server is: a prompt in, the likeliest next tokens out, with the past of the last prompt kept for
// the next. What a running server is held against on the same model (checker/served/versus.h).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "checker/served/server.h"
#include "checker/session/session.h"

namespace pkv::subjects {

struct AskedOptions {
  std::string where;         // what stands for an address: the model's folder
  std::string version = {};  // of the program
  int candidates = 50;       // log-probabilities of an answer
  std::function<std::vector<std::int32_t>(const std::string&)> tokenize = {};
  std::function<std::string(std::span<const std::int32_t>)> decode = {};  // empty: replies have no text
};

class Asked : public served::Server {
 public:
  // Borrows the subject.
  Asked(session::Subject& subject, AskedOptions options);

  const served::About& about() const override { return about_; }
  std::vector<std::int32_t> tokenize(const std::string& text) override { return options_.tokenize(text); }
  // One after the other.
  std::vector<served::Reply> ask(std::span<const served::Question> questions) override;
  std::pair<std::int64_t, std::int64_t> save_and_restore() override { return {}; }

 private:
  served::Reply answer(const served::Question& question);

  session::Subject& subject_;
  AskedOptions options_;
  served::About about_;
  std::unique_ptr<session::Session> session_;
  std::vector<std::int32_t> kept_;  // that the session holds
};

}  // namespace pkv::subjects
