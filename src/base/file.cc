#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <random>
#include <utility>
#include <vector>

#include "base/error.h"

namespace pkv {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail_system(const std::filesystem::path& path, std::string_view what, std::string hint = {}) {
  fail_load(
      {.what = fmt::format("{}: {}", what, std::strerror(errno)), .where = path.string(), .hint = std::move(hint)});
}

std::int64_t nanoseconds(const timespec& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; }

// A change within a tick of the clock of a file system may leave the times as they are; two seconds are that of FAT.
std::string state_of(const struct stat& st) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  if (nanoseconds(now) - nanoseconds(st.st_ctim) < 2'000'000'000) return {};
  return fmt::format("{}:{}:{}:{}:{}", st.st_dev, st.st_ino, st.st_size, nanoseconds(st.st_mtim),
                     nanoseconds(st.st_ctim));
}

std::uint64_t open_regular(const std::filesystem::path& path, int fd, std::uint64_t limit,
                           std::string* state = nullptr) {
  if (fd < 0) fail_system(path, "cannot open");
  struct stat st {};
  if (::fstat(fd, &st) != 0) fail_system(path, "cannot inspect");
  if (!S_ISREG(st.st_mode)) fail_load({.what = "is not a regular file", .where = path.string()});
  const auto size = static_cast<std::uint64_t>(st.st_size);
  if (size > limit) {
    fail_load({.what = "file is too large",
               .where = path.string(),
               .expected = fmt::format("at most {} bytes", limit),
               .found = fmt::format("{} bytes", size)});
  }
  if (state != nullptr) *state = state_of(st);
  return size;
}

// A name that begins with `prefix`, made by `make`, which says whether it could: errno is EEXIST where another has the
// name. mkostemp and mkdtemp would give modes of their own, and what an ordinary open would give cannot be asked for:
// umask() tells it only by changing it, for all threads. Empty, with errno, on failure.
std::string make_unique_name(const std::string& prefix, const auto& make) {
  std::random_device random;
  for (int tried = 0; tried < 100; ++tried) {
    const std::string name = fmt::format("{}{:08x}", prefix, random());
    if (make(name.c_str())) return name;
    if (errno != EEXIST) break;
  }
  return {};
}

}  // namespace

bool is_present(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status)) return true;
  if (status.type() != fs::file_type::not_found) {
    fail_load({.what = "cannot open: " + error.message(), .where = path.string()});
  }
  if (!fs::is_symlink(path, error)) return false;
  fail_load({.what = "is a link to a file that is not there",
             .where = path.string(),
             .found = fs::read_symlink(path, error).string(),
             .hint = "download the model again"});
}

MappedFile::MappedFile(const std::filesystem::path& path, std::uint64_t limit) : path_(path) {
  // O_NONBLOCK: a named pipe in the place of a file must not hang us.
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  size_ = open_regular(path, fd.get(), limit, &state_);
  if (size_ == 0) return;
  void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (p == MAP_FAILED) fail_system(path, "cannot map");
  data_ = static_cast<const std::byte*>(p);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      state_(std::move(other.state_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(state_, other.state_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

namespace {

void advise(std::span<const std::byte> part, int advice, bool inner) noexcept {
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<std::uintptr_t>(part.data()), end = begin + part.size();
  const std::uintptr_t from = (begin + (inner ? kPage - 1 : 0)) / kPage * kPage, to = end / kPage * kPage;
  if (from < to) ::madvise(reinterpret_cast<void*>(from), to - from, advice);
}

bool within(std::span<const std::byte> part, std::span<const std::byte> whole) noexcept {
  const std::less_equal<const std::byte*> not_after;
  return not_after(whole.data(), part.data()) && not_after(part.data() + part.size(), whole.data() + whole.size());
}

}  // namespace

void MappedFile::will_read(std::span<const std::byte> part) const noexcept {
  if (within(part, bytes())) advise(part, MADV_WILLNEED, false);
}

// On memory that is not of a file this would be the loss of what is in it.
void MappedFile::done_with(std::span<const std::byte> part) const noexcept {
  if (within(part, bytes())) advise(part, MADV_DONTNEED, true);
}

bool leave_page_cache(const std::filesystem::path& path) {
  {
    const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (fd.get() < 0) fail_system(path, "cannot open");
    ::fdatasync(fd.get());  // pages that are still to be written cannot be given up
    ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  const MappedFile file(path);
  constexpr std::size_t kPage = 4096;
  std::vector<unsigned char> resident((file.bytes().size() + kPage - 1) / kPage);
  if (resident.empty()) return true;
  if (::mincore(const_cast<std::byte*>(file.bytes().data()), file.bytes().size(), resident.data()) != 0) return false;
  return std::none_of(resident.begin(), resident.end(), [](unsigned char page) { return (page & 1) != 0; });
}

bool is_plain_file_name(std::string_view name) {
  const auto odd = [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  return !name.empty() && name != "." && name != ".." && std::ranges::none_of(name, odd);
}

std::string read_file(const std::filesystem::path& path, std::uint64_t limit) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const std::uint64_t size = open_regular(path, fd.get(), limit);
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::read(fd.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_system(path, "cannot read");
    if (n == 0) break;  // it shrank while we read
    done += static_cast<std::size_t>(n);
  }
  text.resize(done);
  return text;
}

namespace {

constexpr const char* kWritable = "a file in a folder that exists and that you may write to";

}  // namespace

FileWriter::FileWriter(std::filesystem::path path, bool owner_only) : path_(std::move(path)), place_(path_) {
  struct stat st {};
  const bool exists = ::stat(path_.c_str(), &st) == 0;
  if (exists && !S_ISREG(st.st_mode)) {
    if (owner_only) fail_load({.what = "is not a regular file", .where = path_.string(), .hint = kWritable});
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (descriptor_ < 0) fail_system(path_, "cannot write here", kWritable);
    return;
  }
  std::error_code error, absent;
  if (std::filesystem::is_symlink(path_, absent)) place_ = std::filesystem::canonical(path_, error);
  if (error) fail_load({.what = "is a link to nothing", .where = path_.string(), .hint = kWritable});
  temporary_ = make_unique_name(place_.string() + ".", [&](const char* name) {
    descriptor_ = ::open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, owner_only ? 0600 : 0666);
    return descriptor_ >= 0;
  });
  if (descriptor_ < 0) fail_system(path_, "cannot write here", kWritable);
}

void require_writable(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!path.empty() && (!exists(status) || is_regular_file(status))) const FileWriter probe(path);
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void FileWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_system(path_, "cannot write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void FileWriter::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void FileWriter::commit() {
  const bool direct = temporary_.empty();
  if (!direct && ::fsync(descriptor_) != 0 && errno != EINVAL) fail_system(path_, "cannot write");
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_system(path_, "cannot write");
  if (direct) return;
  if (::rename(temporary_.c_str(), place_.c_str()) != 0) fail_system(path_, "cannot rename into place");
  temporary_.clear();
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  FileWriter writer(path);
  writer.write(text);
  writer.commit();
}

namespace {

namespace fs = std::filesystem;

fs::path place_of(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

}  // namespace

void FolderWriter::require_free(const fs::path& path) {
  const fs::path place = place_of(path);
  std::error_code error;
  if (!fs::is_directory(place.parent_path(), error)) {
    fail_usage({.what = "no such folder", .where = place.parent_path().string(), .hint = "make it first"});
  }
  const fs::file_status status = fs::symlink_status(place, error);
  if (!fs::exists(status)) return;
  const bool folder = fs::is_directory(status);
  if (folder && fs::is_empty(place, error)) return;
  fail_usage({.what = "there is something here already",
              .where = place.string(),
              .expected = "no such file or folder, or an empty folder",
              .found = folder ? "a folder with files in it" : "a file",
              .hint = "another name, or remove it first"});
}

FolderWriter::FolderWriter(const fs::path& place) : place_(place_of(place)) {
  require_free(place_);
  temporary_ =
      make_unique_name(place_.string() + ".incomplete-", [](const char* name) { return ::mkdir(name, 0777) == 0; });
  if (temporary_.empty()) {
    fail_system(place_, "cannot make a folder here", "a place in a folder that exists and that you may write to");
  }
}

FolderWriter::~FolderWriter() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void FolderWriter::require_space(std::uint64_t bytes) const {
  std::error_code error;
  const fs::space_info space = fs::space(temporary_, error);
  if (error || space.available >= bytes) return;
  fail_load({.what = "not enough space",
             .where = place_.string(),
             .expected = fmt::format("{} bytes", bytes),
             .found = fmt::format("{} bytes free", space.available),
             .hint = "a folder on another disk"});
}

void FolderWriter::commit() {
  require_free(place_);
  if (::rename(temporary_.c_str(), place_.c_str()) != 0) fail_system(place_, "cannot rename into place");
  temporary_.clear();
}

}  // namespace pkv
