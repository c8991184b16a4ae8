// One function a dialect: the server, if it speaks it. `named`: the user says that it does, so that what does not fit
// is an error; otherwise nothing is returned for a server of another kind.
#pragma once

#include <memory>

#include "servers/dialect.h"

namespace pkv::servers {

// What GET /v1/models said, which most servers answer.
struct Models {
  std::string owner;  // "vllm"
  std::string model;  // the first, or the one that was asked for
  std::optional<std::int64_t> context, vocab;
  bool says_status = false;  // whether the model is loaded
};

using Shared = std::shared_ptr<Exchange>;
std::unique_ptr<Dialect> llama_cpp(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named);
std::unique_ptr<Dialect> vllm(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named);
std::unique_ptr<Dialect> sglang(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named);
std::unique_ptr<Dialect> tensorrt(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named);
std::unique_ptr<Dialect> tgi(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named);
std::unique_ptr<Dialect> ollama(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named);
// Last: what any server with OpenAI's routes understands.
std::unique_ptr<Dialect> openai(const Shared& exchange, const Endpoint& endpoint, const Models& models, bool named);

}  // namespace pkv::servers
