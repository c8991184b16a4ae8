// pkv check --server URL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "options/option.h"
#include "options/output.h"
#include "options/text.h"

namespace pkv::program {

struct ServerOptions {
  std::string url, api, key, model, companions, prefixes;
  std::int64_t most_requests = 200, candidates = 50, timeout = 120;

  void declare(Command& command);
  // Whether a name is of an option that means something with --server.
  static bool takes(std::string_view option);
};

int check_server(const ServerOptions& options, const TextOptions& text, const OutputOptions& output);

}  // namespace pkv::program
