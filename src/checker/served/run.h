// Asks a server the same question with and without what it has kept, and says how far its answers are apart.
#pragma once

#include <functional>
#include <string>

#include "base/progress.h"
#include "checker/served/report.h"

namespace pkv::served {

struct Task {
  std::string text;                    // the prompt
  std::vector<std::int32_t> ids = {};  // instead, as the server counts them
  Options options = {};
  std::function<void(const Plan&)> before = {};  // told what will be asked, before it is
  Progress progress = {};                        // of requests
};

// Error::usage for a prompt of fewer than 4 tokens or one that the server has no room for.
Report check(Server& server, const Task& task);

}  // namespace pkv::served
