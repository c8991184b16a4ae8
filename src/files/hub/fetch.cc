#include "files/hub/fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "files/hub/blob.h"
#include "files/hub/client.h"
#include "files/hub/digest.h"

namespace pkv::hub {
namespace {

namespace fs = std::filesystem;

// The work of all threads.
struct Work {
  const Settings& settings;
  const Cache& cache;
  const Id& id;
  std::string_view commit;
  std::vector<Wanted> files;
  std::atomic<bool> stop = false;
  std::atomic<std::size_t> next = 0;
  std::atomic<std::int64_t> done = 0;  // bytes

  std::mutex mutex;
  std::condition_variable changed;
  std::size_t running = 0;
  std::vector<std::string> notes;
  std::exception_ptr error;  // the first

  void tell(std::string text) {
    const std::lock_guard lock(mutex);
    notes.push_back(std::move(text));
    changed.notify_all();
  }
  void fail() {
    const std::lock_guard lock(mutex);
    if (!error) error = std::current_exception();
    stop = true;
    changed.notify_all();
  }
};

// One file, by one thread.
class Transfer {
 public:
  Transfer(Work& work, Client& client, const Wanted& wanted) : work_(work), client_(client), wanted_(wanted) {}

  void run() {
    if (work_.cache.has(work_.id.repo, work_.commit, wanted_.file, wanted_.size)) {
      return count(static_cast<std::int64_t>(wanted_.size.value_or(0)));
    }
    FileMetadata metadata = client_.metadata(work_.id, work_.commit, wanted_.file);
    if (wanted_.size && metadata.size && *wanted_.size != *metadata.size) {
      fail_load({.what = "the Hub contradicts itself about the size of a file",
                 .where = place(),
                 .expected = fmt::format("{} bytes, as it is listed", *wanted_.size),
                 .found = fmt::format("{} bytes", *metadata.size)});
    }
    if (!metadata.size) metadata.size = wanted_.size;
    const std::string digest = digest_of(metadata);
    const BlobLock lock(work_.cache.lock(work_.id.repo, metadata.etag), work_.stop, [&] {
      work_.tell(fmt::format("{}: another program is fetching {}; waiting for it", work_.id.text(), wanted_.file));
    });
    if (work_.stop) throw Stopped{};
    if (!work_.cache.has(work_.id.repo, work_.commit, wanted_.file, metadata.size)) {
      const bool fresh = !there(metadata);
      if (fresh) download(metadata, digest, lock.held());
      work_.cache.link(work_.id.repo, work_.commit, wanted_.file, metadata.etag, fresh);
    }
    if (wanted_.size) count(static_cast<std::int64_t>(*wanted_.size) - counted_);
  }

 private:
  void count(std::int64_t bytes) {
    counted_ += bytes;
    work_.done += bytes;
  }

  std::string place() const { return fmt::format("{}: {}", work_.id.text(), wanted_.file); }

  // What the bytes must have: as listed, or else the etag; none where neither is a digest.
  std::string digest_of(const FileMetadata& metadata) {
    const Digest::Kind kind = Digest::kind_of(metadata.etag);
    if (wanted_.digest.empty()) {
      if (kind != Digest::Kind::none) return metadata.etag;
      work_.tell(place() + ": the Hub names no digest of it: " +
                 (metadata.size ? "nothing but its size is checked" : "its bytes are taken as they come"));
      return {};
    }
    if (kind == Digest::kind_of(wanted_.digest) && metadata.etag != wanted_.digest) {
      fail_load({.what = "the Hub contradicts itself about the digest of a file",
                 .where = place(),
                 .expected = fmt::format("{}, as it is listed", wanted_.digest),
                 .found = metadata.etag});
    }
    return wanted_.digest;
  }

  bool there(const FileMetadata& metadata) const {
    const fs::path blob = work_.cache.blob(work_.id.repo, metadata.etag);
    std::error_code error;
    return fs::is_regular_file(blob, error) && (!metadata.size || fs::file_size(blob, error) == *metadata.size);
  }

  void download(const FileMetadata& metadata, const std::string& digest, bool locked) {
    BlobWriter blob(work_.cache.blob(work_.id.repo, metadata.etag), digest, metadata.size, locked);
    for (bool again = true;;) {
      recount(blob);
      const bool resumed = blob.resumed();
      receive(blob);
      const std::string wrong = blob.finish();
      if (wrong.empty()) return;
      // What an earlier try left may have been at fault. Once.
      if (resumed && std::exchange(again, false)) continue;
      fail_load({.what = "the file that arrived is not the one that the Hub names",
                 .where = place(),
                 .found = wrong,
                 .hint = "again; nothing of it was kept"});
    }
  }

  void recount(const BlobWriter& blob) { count(static_cast<std::int64_t>(blob.written()) - counted_); }

  // Until all bytes are there, trying again from where a try ended. Tries count anew with every new byte; one that came
  // before, from a server that knows no ranges, is none.
  void receive(BlobWriter& blob) {
    std::uint64_t most = blob.written();
    for (int tried = 0; !blob.complete();) {
      const std::uint64_t before = blob.written();
      const http::Connection::Handlers handlers{.begin = [&](const http::Response& response) { begin(blob, response); },
                                                .body =
                                                    [&](std::string_view bytes) {
                                                      blob.write(bytes);
                                                      count(static_cast<std::int64_t>(bytes.size()));
                                                    }};
      const http::Response response = client_.get(work_.id, work_.commit, wanted_.file, before, handlers);
      recount(blob);
      if (blob.complete() || (response.good() && !blob.sized())) return;
      if (response.status == 416) blob.restart();
      if (blob.written() > most) {
        most = blob.written();
        tried = 0;
      }
      client_.wait_to_retry(work_.id, wanted_.file, response, tried++);
    }
  }

  void begin(BlobWriter& blob, const http::Response& response) const {
    if (response.status != 206) {
      if (blob.written() > 0) blob.restart();  // the server knows no ranges, and begins at the beginning
      if (const auto size = response.headers.number("content-length")) blob.expect(*size);
      return;
    }
    const auto range = parse_content_range(response.headers.get("content-range"));
    if (!range || range->first != blob.written()) {
      fail_load({.what = "the Hub sends another part of the file than it was asked for",
                 .where = place(),
                 .expected = fmt::format("bytes from {} on", blob.written()),
                 .found = quote(response.headers.get("content-range"))});
    }
    if (range->size) blob.expect(*range->size);
  }

  Work& work_;
  Client& client_;
  const Wanted& wanted_;
  std::int64_t counted_ = 0;
};

void labour(Work& work) {
  try {
    Client client(work.settings, work.stop, [&](std::string text) { work.tell(std::move(text)); });
    while (!work.stop) {
      const std::size_t i = work.next++;
      if (i >= work.files.size()) break;
      Transfer(work, client, work.files[i]).run();
    }
  } catch (...) {
    work.fail();
  }
  const std::lock_guard lock(work.mutex);
  --work.running;
  work.changed.notify_all();
}

// Reports until all threads are done.
void watch(Work& work, std::int64_t total, const FetchCallbacks& callbacks) {
  std::unique_lock lock(work.mutex);
  while (true) {
    const bool over = work.running == 0, failed = work.error != nullptr;
    const std::vector<std::string> notes = std::exchange(work.notes, {});
    lock.unlock();
    for (const std::string& text : notes) {
      if (callbacks.note) callbacks.note(text);
    }
    if (callbacks.progress && !failed) callbacks.progress(over ? total : std::min(work.done.load(), total - 1), total);
    if (over) return;
    lock.lock();
    if (work.running > 0) work.changed.wait_for(lock, std::chrono::milliseconds(100));
  }
}

}  // namespace

void fetch(const Settings& settings, const Cache& cache, const Id& id, std::string_view commit,
           const std::vector<Wanted>& files, const FetchCallbacks& callbacks) {
  if (files.empty()) return;
  cache.prepare(id.repo);
  Work work{.settings = settings, .cache = cache, .id = id, .commit = commit, .files = files};
  std::int64_t total = 0;
  for (const Wanted& file : files) total += static_cast<std::int64_t>(file.size.value_or(0));
  const std::size_t threads = std::min(files.size(), static_cast<std::size_t>(std::max(1, settings.connections)));
  work.running = threads;
  std::vector<std::jthread> pool;
  try {
    for (std::size_t i = 0; i < threads; ++i) pool.emplace_back([&work] { labour(work); });
    watch(work, std::max<std::int64_t>(total, 1), callbacks);
  } catch (...) {
    work.stop = true;
    pool.clear();
    throw;
  }
  pool.clear();
  if (work.error) std::rethrow_exception(work.error);
}

void require_space(const Cache& cache, const Id& id, std::uint64_t bytes) {
  std::error_code error;
  fs::path folder = fs::absolute(cache.root(), error);
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  const fs::space_info space = fs::space(folder, error);
  if (error || space.available >= bytes) return;
  fail_load({.what = "not enough room on the disk of the cache",
             .where = cache.repo(id.repo).string(),
             .expected = fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9),
             .found = fmt::format("{:.1f} GB free", static_cast<double>(space.available) / 1e9),
             .hint = "HF_HUB_CACHE set to a folder on another disk, or pkv cache remove"});
}

}  // namespace pkv::hub
