// --server and what belongs to it: which server, its key, and how much it may be asked.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "options/option.h"
#include "servers/exchange.h"

namespace pkv::program {

// A prompt that is long enough to be kept in blocks of 128 tokens by whatever tokenizer.
extern const std::string_view kServerPrompt;

struct ServerAddress {
  std::string url, api, key, model;
  std::int64_t most_requests = 200, timeout = 120, candidates = 50;
  double rate = 20;

  void declare(Command& command, std::string_view help);
  // Whether a name is of one of these options.
  static bool takes(std::string_view option);

  // `stop`: ends a request in the middle.
  servers::Endpoint endpoint(const std::atomic<bool>& stop) const;
};

// The command line as it was given, but for keys: `url` is the server's address without them, `against` that of
// another.
std::string command_line(const std::string& url, const std::string& against = {});
// Texts that begin with it were never asked before by anybody.
std::string mark_of_this_run();
// Of the environment; empty where there is none.
std::string environment(const char* name);
// A note of what a server will be asked; `longest` in tokens, 0 where nobody knows.
void tell_requests(const std::string& who, std::int64_t requests, std::int64_t longest);

}  // namespace pkv::program
