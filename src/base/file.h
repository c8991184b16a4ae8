// Files: mapped for reading, read whole up to a limit, and written beside their place and renamed, so that a reader
// never sees half a file. Errors name the path. Nothing here knows what a file means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace pkv {

// The bytes as text, where they are.
inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A file mapped read-only. Cheap to move; the mapping lives as long as the object.
class MappedFile {
 public:
  // Error::load when it cannot be opened, is no regular file, or is larger than `limit` bytes.
  explicit MappedFile(const std::filesystem::path& path, std::uint64_t limit = ~std::uint64_t{0});
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return text_of(bytes()); }

  // The file's device, inode, size and times of change when it was mapped, as text: equal only for the same file, not
  // written to since. Empty when the file was changed so shortly before that a later change could go unseen.
  const std::string& state() const { return state_; }
  const std::filesystem::path& path() const { return path_; }

  // Hints about a part of `bytes()`: it will be read soon, from its beginning to its end; its pages are no longer
  // needed in memory (they are read again when they are). Memory elsewhere is left alone.
  void will_read(std::span<const std::byte> part) const noexcept;
  void done_with(std::span<const std::byte> part) const noexcept;

 private:
  std::filesystem::path path_;
  std::string state_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Makes the next reader of the file fetch it from the disk (whose own caches nobody can empty): what was written is
// waited for, and the system's copy in memory is given up. False when it keeps one nevertheless, as it does of files
// that live in memory or are mapped.
bool leave_page_cache(const std::filesystem::path& path);

// Whether there is something of that name. A link to nothing is an Error::load and not absence: the Hub's cache is made
// of links, and a download that broke off leaves such. So is a place that may not be looked at.
bool is_present(const std::filesystem::path& path);

// Whether a name that a file gives may be used for a file within a folder: no path, no control character in it.
bool is_plain_file_name(std::string_view name);

// The whole file as text; Error::load when it is larger than `limit` bytes.
std::string read_file(const std::filesystem::path& path, std::uint64_t limit);

// Error::load where a FileWriter could not begin: before work whose result goes there. Empty paths are taken for none.
void require_writable(const std::filesystem::path& path);

// A file being written: the bytes go to a temporary file in the same folder, `commit` renames it into place. Without
// `commit` (an exception, say) nothing is left behind. A link stays, and the file that it leads to is replaced. What is
// no regular file (a device, a pipe) is written directly. Error::load on every failure, a full disk included.
class FileWriter {
 public:
  // `owner_only`: mode 0600, and nothing but a regular file; otherwise as an ordinary open would make it.
  explicit FileWriter(std::filesystem::path path, bool owner_only = false);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();

 private:
  std::filesystem::path path_, place_;  // as given; where it leads
  std::filesystem::path temporary_;     // empty: written directly
  int descriptor_ = -1;
};

void write_file(const std::filesystem::path& path, std::string_view text);

// A folder being made, likewise: files go to `path()`, a new folder beside its place, and `commit` renames that.
// Without `commit` nothing is left behind. Error::usage when the place is taken by anything but an empty folder.
class FolderWriter {
 public:
  explicit FolderWriter(const std::filesystem::path& place);
  static void require_free(const std::filesystem::path& place);  // what the constructor asks of it, to know early
  ~FolderWriter();
  FolderWriter(const FolderWriter&) = delete;
  FolderWriter& operator=(const FolderWriter&) = delete;

  const std::filesystem::path& path() const { return temporary_; }
  // Error::load when the file system has less room than that.
  void require_space(std::uint64_t bytes) const;
  void commit();

 private:
  std::filesystem::path place_;
  std::filesystem::path temporary_;
};

}  // namespace pkv
