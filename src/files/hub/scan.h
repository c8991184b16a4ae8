// What the cache holds, model by model, and how to take models and revisions out of it again. Models alone: data sets
// and spaces that huggingface_hub keeps beside them are left alone. Nothing outside the cache is ever touched.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "files/hub/cache.h"

namespace pkv::hub {

struct CachedRevision {
  std::string commit;
  std::vector<std::string> refs;             // that name it, sorted
  std::vector<std::filesystem::path> blobs;  // that it uses, sorted
  std::uint64_t bytes = 0;                   // of them
  std::size_t files = 0;
};

struct CachedModel {
  std::string repo;
  std::filesystem::path folder;
  std::vector<CachedRevision> revisions;  // sorted by commit
  std::uint64_t bytes = 0;                // of all blobs that revisions use, each counted once
  std::uint64_t incomplete_bytes = 0;     // of downloads that did not end
  std::time_t last_used = 0;              // the last time that a blob was read; 0: never
};

struct CacheScan {
  std::vector<CachedModel> models;  // sorted by name
  std::vector<std::string> notes;   // what is broken
};
CacheScan scan(const std::filesystem::path& cache);

struct Removal {
  std::vector<std::string> revisions;  // "gpt2" for a whole model, "gpt2@COMMIT" for one of its revisions
  std::vector<std::filesystem::path> folders, files;  // to remove; folders with all they hold
  std::filesystem::path cache;
  std::vector<std::filesystem::path> shared;  // of the store that models share; to remove if nobody uses them
  std::uint64_t bytes = 0;                    // that will be free
};
// What removing these takes away: NAME, NAME@REVISION, or a COMMIT. Blobs that other revisions use stay. Error::usage
// when the cache has no such thing.
Removal plan_removal(const CacheScan& scan, const std::filesystem::path& cache, const std::vector<std::string>& what);

// The blobs that these use, each once; of the whole cache where none is named. Errors as above.
std::vector<std::filesystem::path> blobs_of(const CacheScan& scan, const std::vector<std::string>& what);

// The digest of a blob, of the kind that its name is, in hexadecimal: another than its name says that the blob is
// damaged. Empty where the name is no digest. Error::load where it cannot be read. `read`: called with the bytes
// digested since the last call.
std::string digest_of_blob(const std::filesystem::path& blob, const std::function<void(std::uint64_t)>& read = {});

// Links first, blobs last, so that a removal broken off leaves no link to a blob that is gone.
void remove(const Removal& removal);

}  // namespace pkv::hub
