// Models of the Hugging Face Hub: from a name to a folder, or to a GGUF file. The door of room files/hub. A model that
// the cache of huggingface_hub holds is used from there without asking anyone; another is fetched into it. Only what is
// needed is fetched, and no code. Reports what it does through callbacks; prints nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "files/hub/cache.h"     // IWYU pragma: export
#include "files/hub/id.h"        // IWYU pragma: export
#include "files/hub/settings.h"  // IWYU pragma: export

namespace pkv::hub {

// What a download is going to do, known before it does it.
struct Plan {
  struct File {
    std::string name;
    std::optional<std::uint64_t> size;
    bool cached = false;
  };
  Id id;
  std::string commit;
  std::filesystem::path folder;  // of the snapshot
  std::filesystem::path gguf;  // the GGUF file in it that is the model, of one in parts the first; empty: the folder is
  const std::filesystem::path& model() const { return gguf.empty() ? folder : gguf; }
  std::vector<File> files;  // sorted by name

  std::uint64_t bytes() const;    // of all files
  std::uint64_t missing() const;  // of those that are not cached
  std::size_t missing_files() const;
};

struct Callbacks {
  std::function<void(const Plan&)> plan;  // once, before the first byte of the weights
  Progress progress;                      // bytes of the missing files; may throw, to stop the work
  std::function<void(std::string)> note;  // a line for the user
};

struct Wish {
  std::vector<std::string> include;  // patterns of files; empty: what a model needs
  bool only_plan = false;            // nothing but small files is fetched
};

// The model (Plan::model) that the cache holds with all it needs, in the revision asked for; none when something is
// missing. Never uses the network.
std::optional<std::filesystem::path> find_cached(const Settings& settings, const Id& id);

// Asks the Hub what the revision is now, and fetches what is missing. Load error in a sentence for everything that may
// go wrong. When the Hub cannot be reached, what is cached is the answer if config and weights are there, with a note.
Plan download(const Settings& settings, const Id& id, const Wish& wish = {}, const Callbacks& callbacks = {});

// find_cached, else download.
std::filesystem::path find_or_download(const Settings& settings, const Id& id, const Callbacks& callbacks = {});

}  // namespace pkv::hub
