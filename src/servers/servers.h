// Servers of language models over HTTP, each asked in its own dialect. The door of the room.
//
//   auto server = servers::connect({.url = "http://127.0.0.1:8080"});
//   served::Report report = served::check(*server, {.text = text});
//
// Which server it is and what it can be asked is found out by asking: at most 8 requests.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "checker/served/server.h"
#include "servers/exchange.h"

namespace pkv::servers {

// "llama.cpp", "vllm", "sglang", "tgi", "ollama", "openai", ...
std::span<const std::string_view> dialects();

// Error::load when nothing answers there, or it is no server of a language model; Error::usage for an address that is
// none.
std::unique_ptr<served::Server> connect(const Endpoint& endpoint);

}  // namespace pkv::servers
