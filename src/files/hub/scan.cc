#include "files/hub/scan.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "files/hf/repo_name.h"
#include "files/hub/digest.h"
#include "files/hub/shared_store.h"

namespace pkv::hub {
namespace {

namespace fs = std::filesystem;

// Entries of a folder that no link leads out of; sorted. Empty when there is no such folder.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  if (fs::is_symlink(folder, error)) return {};
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    found.push_back(at->path());
  }
  std::ranges::sort(found);
  return found;
}

std::uint64_t bytes_of(const fs::path& file) {
  std::error_code error;
  const std::uint64_t size = fs::file_size(file, error);
  return error ? 0 : size;  // it is gone by now
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(fs::symlink_status(path, error));
}

// Files below a folder, links not followed.
std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator at(folder, error), end;
  for (; !error && at != end; at.increment(error)) {
    if (!fs::is_directory(at->symlink_status(error))) files.push_back(at->path());
  }
  std::ranges::sort(files);
  return files;
}

std::map<std::string, std::vector<std::string>> refs_of(const fs::path& repo) {
  std::map<std::string, std::vector<std::string>> refs;  // by commit
  for (const fs::path& file : files_below(repo / "refs")) {
    const Id id{.repo = {}, .revision = file.lexically_relative(repo / "refs").string()};
    std::error_code error;
    if (!fs::is_regular_file(file, error) || fs::file_size(file, error) > 100) continue;
    std::string commit = read_file(file, 100);
    while (!commit.empty() && (commit.back() == '\n' || commit.back() == ' ')) commit.pop_back();
    if (hf::is_commit(commit)) refs[commit].push_back(id.revision);
  }
  return refs;
}

struct Blobs {
  std::map<fs::path, struct stat> seen;

  const struct stat* look(const fs::path& path) {
    const auto [at, fresh] = seen.try_emplace(path);
    if (fresh && ::stat(path.c_str(), &at->second) != 0) {
      seen.erase(at);
      return nullptr;
    }
    return &at->second;
  }
};

CachedRevision scan_revision(const fs::path& folder, const fs::path& repo, Blobs& blobs,
                             std::vector<std::string>& notes) {
  CachedRevision revision{.commit = folder.filename().string()};
  for (const fs::path& file : files_below(folder)) {
    std::error_code error;
    fs::path blob = file;  // where links are not supported the file itself is there
    if (fs::is_symlink(file, error)) {
      blob = (file.parent_path() / fs::read_symlink(file, error)).lexically_normal();
    }
    const struct stat* st = blobs.look(blob);
    if (st == nullptr) {
      notes.push_back(fmt::format("{}: a link to a blob that is gone: the next download mends it", file.string()));
      continue;
    }
    ++revision.files;
    const bool inside = blob == file || blob.parent_path() == repo / "blobs";
    const bool elsewhere = fs::is_symlink(blob, error) && !shared_blob(repo.parent_path(), blob);
    if (!inside || elsewhere || std::ranges::find(revision.blobs, blob) != revision.blobs.end()) continue;
    revision.blobs.push_back(blob);
    revision.bytes += static_cast<std::uint64_t>(st->st_size);
  }
  std::ranges::sort(revision.blobs);
  return revision;
}

CachedModel scan_model(const fs::path& folder, const std::string& repo, std::vector<std::string>& notes) {
  CachedModel model{.repo = repo, .folder = folder};
  auto refs = refs_of(folder);
  Blobs blobs;
  for (const fs::path& snapshot : entries(folder / "snapshots")) {
    if (!hf::is_commit(snapshot.filename().string()) || !is_folder(snapshot)) continue;
    model.revisions.push_back(scan_revision(snapshot, folder, blobs, notes));
    model.revisions.back().refs = refs[model.revisions.back().commit];
  }
  std::set<fs::path> used;
  for (const CachedRevision& revision : model.revisions) used.insert(revision.blobs.begin(), revision.blobs.end());
  for (const fs::path& blob : used) {
    const struct stat* st = blobs.look(blob);
    model.bytes += static_cast<std::uint64_t>(st->st_size);
    model.last_used = std::max(model.last_used, st->st_atime);
  }
  for (const fs::path& file : entries(folder / "blobs")) {
    if (file.extension() == ".incomplete") model.incomplete_bytes += bytes_of(file);
  }
  return model;
}

struct Target {
  const CachedModel* model;
  const CachedRevision* revision;  // null: all of them
};

Target find_target(const CacheScan& scan, const std::string& what) {
  const auto at = what.find('@');
  const std::string repo = what.substr(0, at);
  for (const CachedModel& model : scan.models) {
    if (at == what.npos && model.repo == repo) return Target{&model, nullptr};
    for (const CachedRevision& revision : model.revisions) {
      if (at == what.npos && revision.commit == what) return Target{&model, &revision};
      if (at == what.npos || model.repo != repo) continue;
      const std::string name = what.substr(at + 1);
      const bool starts = name.size() >= 7 && revision.commit.starts_with(name);
      if (starts || std::ranges::find(revision.refs, name) != revision.refs.end()) return Target{&model, &revision};
    }
  }
  fail_usage({.what = "the cache has no such model or revision",
              .where = quote(what),
              .expected = "NAME, NAME@REVISION or a COMMIT",
              .hint = "pkv cache list"});
}

void add_model(Removal& removal, std::set<fs::path>& blobs, const CachedModel& model) {
  removal.revisions.push_back(model.repo);
  // Links and names first.
  for (const char* part : {"refs", "snapshots"}) removal.folders.push_back(model.folder / part);
  removal.folders.push_back(model.folder);
  removal.folders.push_back(removal.cache / ".locks" / model.folder.filename());
  removal.bytes += model.incomplete_bytes;
  for (const CachedRevision& revision : model.revisions) blobs.insert(revision.blobs.begin(), revision.blobs.end());
}

void add_revisions(Removal& removal, std::set<fs::path>& blobs, const CachedModel& model,
                   const std::set<std::string>& commits) {
  std::set<fs::path> kept, gone;
  for (const CachedRevision& revision : model.revisions) {
    auto& its = commits.contains(revision.commit) ? gone : kept;
    its.insert(revision.blobs.begin(), revision.blobs.end());
    if (!commits.contains(revision.commit)) continue;
    removal.revisions.push_back(model.repo + "@" + revision.commit);
    for (const std::string& ref : revision.refs) removal.files.push_back(model.folder / "refs" / ref);
    removal.folders.push_back(model.folder / "snapshots" / revision.commit);
    removal.folders.push_back(model.folder / ".no_exist" / revision.commit);
    removal.files.push_back(model.folder / "trees" / (revision.commit + ".json"));
  }
  for (const fs::path& blob : gone) {
    if (kept.contains(blob)) continue;
    blobs.insert(blob);
    if (blob.parent_path() == model.folder / "blobs") removal.files.push_back(blob);
  }
}

// What the blobs to be removed will free: a shared one only when nobody else uses it.
void count(Removal& removal, const std::set<fs::path>& blobs) {
  std::set<fs::path> whole, stored;
  for (const fs::path& blob : blobs) whole.insert(fs::absolute(blob).lexically_normal());
  for (const fs::path& blob : blobs) {
    std::error_code error;
    if (!fs::is_symlink(blob, error)) {
      removal.bytes += bytes_of(blob);
    } else if (const auto shared = shared_blob(removal.cache, blob); shared && stored.insert(*shared).second) {
      removal.shared.push_back(*shared);
      const auto users = blobs_that_share(removal.cache, *shared);
      if (users && !users->empty() && std::ranges::includes(whole, *users)) removal.bytes += bytes_of(*shared);
    }
  }
}

}  // namespace

CacheScan scan(const fs::path& cache) {
  CacheScan found;
  for (const fs::path& folder : entries(cache)) {
    const auto repo = hf::repo_of_folder(folder.filename().string());
    if (repo && is_folder(folder)) found.models.push_back(scan_model(folder, *repo, found.notes));
  }
  std::ranges::sort(found.models, {}, &CachedModel::repo);
  return found;
}

Removal plan_removal(const CacheScan& scan, const fs::path& cache, const std::vector<std::string>& what) {
  std::map<const CachedModel*, std::set<std::string>> chosen;
  for (const std::string& name : what) {
    const Target target = find_target(scan, name);
    auto& commits = chosen[target.model];
    if (target.revision != nullptr) {
      commits.insert(target.revision->commit);
    } else {
      for (const CachedRevision& revision : target.model->revisions) commits.insert(revision.commit);
    }
  }
  Removal removal{.cache = cache};
  std::set<fs::path> blobs;
  for (const auto& [model, commits] : chosen) {
    if (commits.size() == model->revisions.size()) {
      add_model(removal, blobs, *model);
    } else {
      add_revisions(removal, blobs, *model, commits);
    }
  }
  count(removal, blobs);
  return removal;
}

std::vector<fs::path> blobs_of(const CacheScan& scan, const std::vector<std::string>& what) {
  std::set<fs::path> blobs;
  const auto add = [&](const CachedRevision& revision) { blobs.insert(revision.blobs.begin(), revision.blobs.end()); };
  const auto add_all = [&](const CachedModel& model) { std::ranges::for_each(model.revisions, add); };
  if (what.empty()) std::ranges::for_each(scan.models, add_all);
  for (const std::string& name : what) {
    const Target target = find_target(scan, name);
    target.revision != nullptr ? add(*target.revision) : add_all(*target.model);
  }
  return {blobs.begin(), blobs.end()};
}

std::string digest_of_blob(const fs::path& blob, const std::function<void(std::uint64_t)>& read) {
  const Digest::Kind kind = Digest::kind_of(blob.filename().string());
  if (kind == Digest::Kind::none) return {};
  Digest digest(kind, bytes_of(blob));
  std::ifstream file(blob, std::ios::binary);  // not mapped: a bad disk is an error here, and no signal
  std::vector<char> part(std::size_t{1} << 20);
  while (file) {
    file.read(part.data(), std::ssize(part));
    const auto size = static_cast<std::size_t>(file.gcount());
    digest.add(std::as_bytes(std::span(part).first(size)));
    if (read) read(size);
  }
  if (!file.eof()) fail_load({.what = "cannot be read", .where = blob.string()});
  return digest.finish();
}

void remove(const Removal& removal) {
  const auto gone = [](const fs::path& path, bool with_all) {
    std::error_code error;
    if (with_all) {
      fs::remove_all(path, error);
    } else {
      fs::remove(path, error);
    }
    if (error) fail_load({.what = "cannot remove: " + error.message(), .where = path.string()});
  };
  for (const fs::path& folder : removal.folders) gone(folder, true);
  for (const fs::path& file : removal.files) gone(file, false);
  for (const fs::path& stored : removal.shared) sweep_shared_blob(removal.cache, stored);
}

}  // namespace pkv::hub
