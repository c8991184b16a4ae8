#include "files/hub/blob.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace pkv::hub {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_system(const fs::path& path, std::string_view what) {
  const bool full = errno == ENOSPC || errno == EDQUOT;
  fail_load({.what = fmt::format("{}: {}", what, std::strerror(errno)),
             .where = path.string(),
             .hint = full ? "room on that disk, or HF_HUB_CACHE on another; what has arrived is kept" : ""});
}

}  // namespace

fs::path incomplete_name(const fs::path& blob) {
  static std::atomic<unsigned> calls = 0;
  return fmt::format("{}.{:08x}-{}.incomplete", blob.string(), ::getpid(), ++calls);
}

BlobWriter::BlobWriter(fs::path blob, std::string digest, std::optional<std::uint64_t> size, bool shared)
    : blob_(std::move(blob)),
      path_(shared ? fs::path(blob_.string() + ".incomplete") : incomplete_name(blob_)),
      named_(std::move(digest)),
      size_(size),
      shared_(shared),
      digest_(Digest::kind_of(named_), size.value_or(0)) {
  const int fresh = shared && size ? 0 : O_TRUNC;
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | fresh, 0666);
  if (descriptor_ < 0) fail_system(path_, "cannot write here");
  take_up();
}

BlobWriter::~BlobWriter() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!shared_ || written_ == 0) ::unlink(path_.c_str());
}

// Digests what is there already.
void BlobWriter::take_up() {
  struct stat st {};
  if (::fstat(descriptor_, &st) != 0) fail_system(path_, "cannot inspect");
  const auto there = static_cast<std::uint64_t>(st.st_size);
  if (size_ && there > *size_) return restart();
  std::vector<char> buffer(1 << 20);
  while (written_ < there) {
    const ssize_t n = ::read(descriptor_, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_system(path_, "cannot read");
    if (n == 0) break;
    digest_.add(std::as_bytes(std::span(buffer.data(), static_cast<std::size_t>(n))));
    written_ += static_cast<std::uint64_t>(n);
  }
  resumed_ = written_ > 0;
}

void BlobWriter::expect(std::uint64_t size) {
  if (size_ ? *size_ != size : written_ > size) {
    fail_load({.what = "the Hub contradicts itself about the size of a file",
               .where = blob_.string(),
               .expected = fmt::format("{}{} bytes", size_ ? "" : "at least ", size_.value_or(written_)),
               .found = fmt::format("{} bytes", size)});
  }
  if (!size_) set_size(size);
}

void BlobWriter::begin_digest() {
  written_ = 0;
  digest_ = Digest(Digest::kind_of(named_), size_.value_or(0));
}

// Known at last: git's digest begins with it, so that what is there is digested again.
void BlobWriter::set_size(std::uint64_t size) {
  size_ = size;
  begin_digest();
  if (::lseek(descriptor_, 0, SEEK_SET) != 0) fail_system(path_, "cannot read");
  take_up();
}

void BlobWriter::restart() {
  if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) fail_system(path_, "cannot write");
  resumed_ = false;
  begin_digest();
}

void BlobWriter::write(std::string_view bytes) {
  if (size_ && bytes.size() > *size_ - written_) {
    restart();
    fail_load({.what = "the Hub sends more bytes than the file has",
               .where = blob_.string(),
               .expected = fmt::format("{} bytes", *size_)});
  }
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_system(path_, "cannot write");
    const auto done = static_cast<std::size_t>(n);
    digest_.add(std::as_bytes(std::span(bytes.substr(0, done))));
    written_ += done;
    bytes.remove_prefix(done);
  }
}

std::string BlobWriter::finish() {
  if (!size_) set_size(written_);
  std::string wrong;
  if (written_ != *size_) {
    wrong = fmt::format("{} bytes instead of {}", written_, *size_);
  } else if (const std::string found = digest_.finish(); !found.empty() && found != named_) {
    wrong = fmt::format("its {} is {} instead of {}", found.size() == 64 ? "SHA-256" : "git SHA-1", found, named_);
  }
  if (!wrong.empty()) {
    restart();
    return wrong;
  }
  if (::fdatasync(descriptor_) != 0 && errno != EINVAL) fail_system(path_, "cannot write");
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_system(path_, "cannot write");
  if (::rename(path_.c_str(), blob_.c_str()) != 0) fail_system(blob_, "cannot rename into place");
  return {};
}

}  // namespace pkv::hub
