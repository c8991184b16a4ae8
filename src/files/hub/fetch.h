// Files of one commit into the cache: several at once, each resumed where an earlier try ended, verified, and put in
// its place when it is right. Two programs that fetch the same file share the work through the cache's locks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "files/hub/cache.h"
#include "files/hub/settings.h"

namespace pkv::hub {

struct Wanted {
  std::string file;
  std::optional<std::uint64_t> size;  // as listed
  std::string digest;                 // likewise; empty when it is not known
};

struct FetchCallbacks {
  // Bytes there so far, of all that are wanted. Called about ten times a second, from the thread that called; what it
  // throws ends the work, to be gone on with another time.
  Progress progress;
  std::function<void(std::string)> note;  // likewise; a line for the user
};

// Load error when a file cannot be had or is not what the Hub says it is. What arrived stays, to be gone on with.
void fetch(const Settings& settings, const Cache& cache, const Id& id, std::string_view commit,
           const std::vector<Wanted>& files, const FetchCallbacks& callbacks);

// Load error when the disk has less room than that.
void require_space(const Cache& cache, const Id& id, std::uint64_t bytes);

}  // namespace pkv::hub
