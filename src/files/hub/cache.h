// The cache of huggingface_hub on disk, shared with it both ways:
//   models--ORG--NAME/blobs/ETAG              the bytes; ETAG.incomplete while they come
//   models--ORG--NAME/snapshots/COMMIT/FILE   -> ../../blobs/ETAG
//   models--ORG--NAME/refs/REVISION           holds a COMMIT
//   models--ORG--NAME/trees/COMMIT.json       which files that commit has
//   models--ORG--NAME/.no_exist/COMMIT/FILE   empty: that commit has no such file
//   .locks/models--ORG--NAME/ETAG.lock        held (flock) while the blob is written
// Every step leaves a cache that is right, if less full; whatever is half done is done again. Knows no network.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "files/hf/repo_name.h"
#include "files/hub/id.h"
#include "files/hub/wire.h"

namespace pkv::hub {

// Held from construction to destruction. Not held where the file system knows no locks.
class BlobLock {
 public:
  // Waits until nobody else holds it, or until `stop`; calls `waiting` once if it has to wait.
  BlobLock(const std::filesystem::path& file, const std::atomic<bool>& stop, const std::function<void()>& waiting);
  ~BlobLock();
  BlobLock(const BlobLock&) = delete;
  BlobLock& operator=(const BlobLock&) = delete;
  bool held() const { return held_; }

 private:
  int descriptor_ = -1;
  bool held_ = false;
};

class Cache {
 public:
  Cache(std::filesystem::path root, bool symlinks) : root_(std::move(root)), symlinks_(symlinks) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path repo(std::string_view id) const { return root_ / hf::folder_of_repo(id); }
  std::filesystem::path snapshot(std::string_view id, std::string_view commit) const;
  std::filesystem::path blob(std::string_view id, std::string_view etag) const;
  std::filesystem::path lock(std::string_view id, std::string_view etag) const;

  // The commit that a revision was when it was last asked for; none when it is not known here.
  std::optional<std::string> commit_of(const Id& id) const;
  void remember_commit(const Id& id, std::string_view commit) const;

  // Whether a file of a snapshot is there, of that size where one is given.
  bool has(std::string_view id, std::string_view commit, const std::string& file,
           std::optional<std::uint64_t> size = {}) const;
  // Makes a blob that is complete the file of a snapshot. `fresh`: it came just now, so that no snapshot has it yet.
  void link(std::string_view id, std::string_view commit, const std::string& file, std::string_view etag,
            bool fresh) const;

  std::optional<std::vector<RepoFile>> tree(std::string_view id, std::string_view commit) const;
  void remember_tree(std::string_view id, std::string_view commit, const std::vector<RepoFile>& files) const;

  bool known_absent(std::string_view id, std::string_view commit, const std::string& file) const;
  void remember_absent(std::string_view id, std::string_view commit, const std::string& file) const;

  // Makes the folders that a download needs, and tells programs that save disks to leave the cache out.
  void prepare(std::string_view id) const;

 private:
  std::filesystem::path root_;
  bool symlinks_;
};

}  // namespace pkv::hub
