#include "files/hub/shared_store.h"

#include <algorithm>
#include <atomic>
#include <sstream>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "files/hub/cache.h"
#include "files/hub/digest.h"

namespace pkv::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarker = ".huggingface-shared-blobs", kLayout = "1\n";
constexpr std::uint64_t kMaxList = 16 << 20;

fs::path whole(const fs::path& path) { return fs::absolute(path).lexically_normal(); }

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(fs::symlink_status(path, error));
}

bool is_store(const fs::path& store) {
  std::error_code error;
  if (!fs::is_directory(fs::symlink_status(store, error)) || !is_file(store / kMarker)) return false;
  return fs::file_size(store / kMarker, error) == kLayout.size() && read_file(store / kMarker, 16) == kLayout;
}

// Whether a path below the cache is KIND--NAME/blobs/ETAG.
bool is_blob_of_repo(const fs::path& relative) {
  auto part = relative.begin();
  if (std::distance(part, relative.end()) != 3) return false;
  const std::string repo = part++->string(), blobs = part++->string(), etag = part->string();
  return repo.find("--") != repo.npos && blobs == "blobs" && etag != ".." && etag != ".";
}

fs::path beside(const fs::path& stored, std::string_view ending) { return stored.string() + std::string(ending); }

}  // namespace

std::optional<fs::path> shared_blob(const fs::path& cache, const fs::path& blob) {
  std::error_code error;
  if (!is_blob_of_repo(whole(blob).lexically_relative(whole(cache)))) return {};
  const fs::path link = fs::read_symlink(blob, error);
  if (error) return {};
  const fs::path target = whole(blob.parent_path() / link), store = whole(cache) / "blobs";
  const std::string hash = target.filename().string();
  const bool placed = Digest::kind_of(hash) == Digest::Kind::sha256 &&  // 64 digits, though another digest
                      target == store / hash.substr(0, 2) / hash;
  if (!placed || !is_store(store) || !is_file(target)) return {};
  return target;
}

std::optional<std::set<fs::path>> blobs_that_share(const fs::path& cache, const fs::path& stored) {
  const fs::path list = beside(stored, ".refs");
  if (!is_file(list)) return {};
  std::set<fs::path> blobs;
  std::istringstream lines(read_file(list, kMaxList));
  for (std::string line; std::getline(lines, line);) {
    if (!is_blob_of_repo(line)) continue;
    const fs::path blob = whole(cache) / line;
    if (shared_blob(cache, blob) == whole(stored)) blobs.insert(blob);
  }
  return blobs;
}

void sweep_shared_blob(const fs::path& cache, const fs::path& stored) {
  const std::atomic<bool> never = false;
  const BlobLock lock(beside(stored, ".lock"), never, {});
  const auto used = blobs_that_share(cache, stored);
  if (!lock.held() || !used || !used->empty()) return;
  std::error_code error;
  fs::remove(stored, error);
  if (error) fail_load({.what = "cannot remove: " + error.message(), .where = stored.string()});
  fs::remove(beside(stored, ".refs"), error);
}

}  // namespace pkv::hub
