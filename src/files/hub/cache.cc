#include "files/hub/cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "files/hf/repo_name.h"
#include "files/hub/blob.h"

namespace pkv::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTree = 64 << 20;

[[noreturn]] void fail_here(const fs::path& path, std::string_view what, const std::string& why) {
  fail_load({.what = fmt::format("{}: {}", what, why),
             .where = path.string(),
             .hint = "a cache that you may write to: HF_HUB_CACHE names its folder"});
}

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  std::error_code none;
  if (error && !fs::is_directory(folder, none)) fail_here(folder, "cannot make this folder", error.message());
}

// What only saves requests later is written as well as it can be.
void try_to(const auto& body) {
  try {
    body();
  } catch (const Error&) {
  }
}

// A blob's descriptor whose lock file is still the one that others would open.
bool still_there(int descriptor) {
  struct stat st {};
  return ::fstat(descriptor, &st) == 0 && st.st_nlink > 0;
}

}  // namespace

BlobLock::BlobLock(const fs::path& file, const std::atomic<bool>& stop, const std::function<void()>& waiting) {
  make_folders(file.parent_path());
  for (bool told = false; !stop;) {
    if (descriptor_ < 0) {
      descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0664);
      if (descriptor_ < 0) fail_here(file, "cannot open this lock", std::strerror(errno));
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) {
      held_ = still_there(descriptor_);
      if (held_) return;
      ::close(std::exchange(descriptor_, -1));  // somebody removed it in between
      continue;
    }
    if (errno != EWOULDBLOCK && errno != EINTR && errno != EACCES) return;  // no locks on this file system
    if (!std::exchange(told, true) && waiting) waiting();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

BlobLock::~BlobLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

fs::path Cache::snapshot(std::string_view id, std::string_view commit) const { return repo(id) / "snapshots" / commit; }
fs::path Cache::blob(std::string_view id, std::string_view etag) const { return repo(id) / "blobs" / etag; }
fs::path Cache::lock(std::string_view id, std::string_view etag) const {
  return root_ / ".locks" / hf::folder_of_repo(id) / (std::string(etag) + ".lock");
}

std::optional<std::string> Cache::commit_of(const Id& id) const {
  if (hf::is_commit(id.revision)) return id.revision;
  const fs::path file = repo(id.repo) / "refs" / id.revision;
  std::error_code error;
  if (!fs::is_regular_file(file, error) || fs::file_size(file, error) > 100) return {};
  std::string text = read_file(file, 100);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  if (!hf::is_commit(text)) return {};
  return text;
}

void Cache::remember_commit(const Id& id, std::string_view commit) const {
  if (id.revision == commit || commit_of(id) == commit) return;
  const fs::path file = repo(id.repo) / "refs" / id.revision;
  make_folders(file.parent_path());
  // Not written beside its place: whatever a kill would leave in refs/ is a revision to those who list it.
  const fs::path written = repo(id.repo) / fmt::format("{}.{:08x}.ref", commit, ::getpid());
  write_file(written, commit);
  std::error_code error, ignored;
  fs::rename(written, file, error);
  if (!error) return;
  fs::remove(written, ignored);
  fail_here(file, "cannot write here", error.message());
}

bool Cache::has(std::string_view id, std::string_view commit, const std::string& file,
                std::optional<std::uint64_t> size) const {
  const fs::path path = snapshot(id, commit) / file;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;  // a link to a blob that is gone is none
  return !size || fs::file_size(path, error) == *size;
}

void Cache::link(std::string_view id, std::string_view commit, const std::string& file, std::string_view etag,
                 bool fresh) const {
  const fs::path place = snapshot(id, commit) / file, bytes = blob(id, etag);
  make_folders(place.parent_path());
  const fs::path target = bytes.lexically_relative(place.parent_path());
  std::error_code error, ignored;
  if (symlinks_) {
    if (fs::read_symlink(place, ignored) == target) return;
    fs::remove(place, ignored);
    fs::create_symlink(target, place, error);
    if (!error || fs::read_symlink(place, ignored) == target) return;
    if (error != std::errc::operation_not_permitted && error != std::errc::operation_not_supported &&
        error != std::errc::function_not_supported) {
      fail_here(place, "cannot link to the blob", error.message());
    }
  }
  // No links here: the file itself, as huggingface_hub does it. Of a blob that was here before a copy, since links of
  // other snapshots may lead to it.
  const fs::path file_itself = fresh ? bytes : incomplete_name(bytes);
  error.clear();
  if (!fresh) fs::copy_file(bytes, file_itself, error);
  if (!error) fs::rename(file_itself, place, error);
  if (!error) return;
  if (!fresh) fs::remove(file_itself, ignored);
  fail_here(place, "cannot put the file into the snapshot", error.message());
}

std::optional<std::vector<RepoFile>> Cache::tree(std::string_view id, std::string_view commit) const {
  const fs::path file = repo(id) / "trees" / (std::string(commit) + ".json");
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return {};
  try {
    return parse_tree_file(read_file(file, kMaxTree), file.string());
  } catch (const Error&) {
    return {};  // it is only a copy: the Hub can be asked again
  }
}

void Cache::remember_tree(std::string_view id, std::string_view commit, const std::vector<RepoFile>& files) const {
  try_to([&] {
    make_folders(repo(id) / "trees");
    write_file(repo(id) / "trees" / (std::string(commit) + ".json"), tree_file_text(files));
  });
}

bool Cache::known_absent(std::string_view id, std::string_view commit, const std::string& file) const {
  std::error_code error;
  return fs::is_regular_file(repo(id) / ".no_exist" / commit / file, error);
}

void Cache::remember_absent(std::string_view id, std::string_view commit, const std::string& file) const {
  if (known_absent(id, commit, file)) return;
  try_to([&] {
    const fs::path place = repo(id) / ".no_exist" / commit / file;
    make_folders(place.parent_path());
    const int descriptor = ::open(place.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor >= 0) ::close(descriptor);
  });
}

void Cache::prepare(std::string_view id) const {
  make_folders(repo(id) / "blobs");
  make_folders(repo(id) / "snapshots");
  const fs::path tag = root_ / "CACHEDIR.TAG";  // https://bford.info/cachedir/
  std::error_code error;
  if (fs::exists(tag, error)) return;
  try_to([&] {
    write_file(tag, "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of models: leave it out of backups.\n");
  });
}

}  // namespace pkv::hub
