// pkv check --server URL, and with --against another server or a model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "options/engine.h"
#include "options/option.h"
#include "options/output.h"
#include "options/server.h"
#include "options/text.h"

namespace pkv::program {

struct ServerOptions {
  ServerAddress address;
  std::string companions, prefixes, against;
  std::optional<double> tolerance;
  std::int64_t flood = 8;

  void declare(Command& command);
  // Whether an option of that name means something.
  bool takes(std::string_view option) const;
  bool against_a_server() const;
};

int check_server(const ServerOptions& options, const TextOptions& text, const EngineOptions& engine,
                 const OutputOptions& output);

}  // namespace pkv::program
