// Models of the Hugging Face Hub: from a name to a folder. The door to hf/hub/. A model that the cache of
// huggingface_hub holds is used from there without asking anyone; another is fetched into it. Only what is needed is
// fetched, and no code. Reports what it does through callbacks; prints nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "files/hf/hub_id.h"     // IWYU pragma: export
#include "files/hub/cache.h"     // IWYU pragma: export
#include "files/hub/settings.h"  // IWYU pragma: export

namespace pkv::hf {

// What a download is going to do, known before it does it.
struct HubPlan {
  struct File {
    std::string name;
    std::optional<std::uint64_t> size;
    bool cached = false;
  };
  HubId id;
  std::string commit;
  std::filesystem::path folder;  // of the snapshot
  std::vector<File> files;       // sorted by name

  std::uint64_t bytes() const;    // of all files
  std::uint64_t missing() const;  // of those that are not cached
  std::size_t missing_files() const;
};

struct HubCallbacks {
  std::function<void(const HubPlan&)> plan;  // once, before the first byte of the weights
  Progress progress;                         // bytes of the missing files; may throw, to stop the work
  std::function<void(std::string)> note;     // a line for the user
};

struct HubWish {
  std::vector<std::string> include;  // patterns of files; empty: what a model needs
  bool only_plan = false;            // nothing but small files is fetched
};

// The folder of a model that the cache holds with all it needs, in the revision asked for; none when something is
// missing. Never uses the network.
std::optional<std::filesystem::path> find_cached(const HubSettings& settings, const HubId& id);

// Asks the Hub what the revision is now, and fetches what is missing. Load error in a sentence for everything that may
// go wrong. When the Hub cannot be reached, what is cached is the answer if config and weights are there, with a note.
HubPlan download(const HubSettings& settings, const HubId& id, const HubWish& wish = {},
                 const HubCallbacks& callbacks = {});

// find_cached, else download.
std::filesystem::path find_or_download(const HubSettings& settings, const HubId& id,
                                       const HubCallbacks& callbacks = {});

}  // namespace pkv::hf
