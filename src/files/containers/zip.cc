#include "files/containers/zip.h"

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace pkv::containers {
namespace {

[[noreturn]] void fail(std::string_view file, std::string what, std::string expected = {}, std::string found = {},
                       std::string hint = {}) {
  fail_load({.what = std::move(what),
             .where = std::string(file),
             .expected = std::move(expected),
             .found = std::move(found),
             .hint = std::move(hint)});
}

std::string place_of(std::string_view file, std::string_view entry) {
  return fmt::format("{}: entry {}", file, quote(entry));
}

// The end, where every reader of zip archives begins.

std::uint64_t little_endian(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t n = 0;
  for (std::size_t i = size; i-- > 0;) n = n << 8 | static_cast<unsigned char>(bytes[at + i]);
  return n;
}

constexpr std::size_t kEnd = 22, kLocator64 = 20, kEnd64 = 56, kMaxComment = 65'535;

// The number of entries, as the end of the archive gives it: libzip makes room for that many before it reads any.
std::uint64_t entry_count(std::string_view bytes, std::string_view file) {
  const std::size_t end = bytes.size() - kEnd;
  const std::uint64_t count = little_endian(bytes, end + 10, 2);
  if (end < kLocator64 || bytes.substr(end - kLocator64, 4) != "PK\6\7") return count;
  const std::uint64_t end64 = little_endian(bytes, end - kLocator64 + 8, 8);
  if (end64 > end - kLocator64 || end - kLocator64 - end64 < kEnd64 || bytes.substr(end64, 4) != "PK\6\6") {
    fail(file, "is a damaged zip archive: its end (zip64) is not where it says");
  }
  return little_endian(bytes, end64 + 32, 8);
}

// A zip reader searches the last 64 KiB for an end, and where there are two, readers differ. PyTorch writes no comment,
// so the end is the end.
void check_end(std::string_view bytes, std::string_view file) {
  constexpr std::string_view kMark = "PK\5\6";
  const std::string_view tail = bytes.substr(bytes.size() - std::min(bytes.size(), kMaxComment + kEnd + kLocator64));
  const std::size_t first = tail.find(kMark);
  if (!bytes.starts_with("PK")) {
    fail(file, "is not a zip archive", "bytes that begin with 'PK'", quote(bytes.substr(0, 8)));
  }
  if (first == tail.npos || tail.size() - first < kEnd) {
    fail(file, "is a zip archive without its end", {}, {}, "the file is truncated: download or copy it again");
  }
  if (tail.find(kMark, first + 1) != tail.npos) fail(file, "is a zip archive with more than one end");
  if (tail.size() - first > kEnd) {
    fail(file, "has bytes after the end of the zip archive", {}, fmt::format("{} bytes", tail.size() - first - kEnd));
  }
  const std::uint64_t count = entry_count(bytes, file);
  if (count > kMaxZipEntries) {
    fail(file, "zip archive has too many entries", fmt::format("at most {}", kMaxZipEntries), std::to_string(count));
  }
}

// How libzip sees memory.

// Serves libzip from memory and remembers where it last read: libzip finds the data of an entry, and this is how it
// tells where that is.
struct Source {
  std::span<const std::byte> bytes;
  std::uint64_t budget = 0;  // how much may be read
  std::uint64_t position = 0, last_read = 0;
  zip_error_t error{};

  zip_int64_t read(void* to, std::uint64_t length) {
    length = std::min<std::uint64_t>(length, bytes.size() - position);
    if (length > budget) {
      zip_error_set(&error, ZIP_ER_INCONS, 0);
      return -1;
    }
    if (length != 0) std::memcpy(to, bytes.data() + position, length);
    budget -= length;
    last_read = position;
    position += length;
    return static_cast<zip_int64_t>(length);
  }

  zip_int64_t seek(void* data, std::uint64_t length) {
    const zip_int64_t to = zip_source_seek_compute_offset(position, bytes.size(), data, length, &error);
    if (to < 0) return -1;
    position = static_cast<std::uint64_t>(to);
    return 0;
  }

  zip_int64_t stat(void* data) const {
    auto* stat = static_cast<zip_stat_t*>(data);
    zip_stat_init(stat);
    stat->valid = ZIP_STAT_SIZE;
    stat->size = bytes.size();
    return sizeof *stat;
  }
};

zip_int64_t serve(void* user, void* data, zip_uint64_t length, zip_source_cmd_t command) {
  auto& source = *static_cast<Source*>(user);
  switch (command) {
    case ZIP_SOURCE_OPEN:
      source.position = 0;
      return 0;
    case ZIP_SOURCE_READ:
      return source.read(data, length);
    case ZIP_SOURCE_SEEK:
      return source.seek(data, length);
    case ZIP_SOURCE_TELL:
      return static_cast<zip_int64_t>(source.position);
    case ZIP_SOURCE_STAT:
      return source.stat(data);
    case ZIP_SOURCE_ERROR:
      return zip_error_to_data(&source.error, data, length);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
      return 0;
    case ZIP_SOURCE_SUPPORTS:
      return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                            ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                            ZIP_SOURCE_SUPPORTS, -1);
    default:
      zip_error_set(&source.error, ZIP_ER_OPNOTSUPP, 0);
      return -1;
  }
}

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using OpenEntry = std::unique_ptr<zip_file_t, Discard>;

Archive open_archive(Source& source, std::string_view file) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* from = zip_source_function_create(serve, &source, &error);
  if (from == nullptr) fail_internal({.what = "libzip made no source"});
  Archive archive(zip_open_from_source(from, ZIP_RDONLY, &error));
  const std::string reason = archive ? "" : zip_error_strerror(&error);
  if (!archive) zip_source_free(from);
  zip_error_fini(&error);
  if (!archive) fail(file, "is a damaged zip archive", {}, reason, "download or copy the file again");
  return archive;
}

// Entries.

bool leads_outside(std::string_view name) {
  if (name.empty() || name.front() == '/') return true;
  if (std::ranges::any_of(name, [](char c) { return c == '\\' || static_cast<unsigned char>(c) < 0x20; })) return true;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    if (name.substr(begin, end - begin) == "..") return true;
    begin = end + 1;
  }
  return false;
}

void check_entry(const zip_stat_t& stat, std::string_view name, std::string_view file) {
  if (leads_outside(name)) fail(place_of(file, name), "name leads outside the archive");
  if (stat.encryption_method != ZIP_EM_NONE) fail(place_of(file, name), "is encrypted");
  if (stat.comp_method != ZIP_CM_STORE) {
    fail(place_of(file, name), "is compressed", "entries as torch.save stores them: uncompressed",
         fmt::format("compression method {}", stat.comp_method),
         "unpack the archive and pack it without compression: zip -0");
  }
  if (stat.comp_size != stat.size) {
    fail(place_of(file, name), "is stored with two sizes", fmt::format("{} bytes", stat.size),
         fmt::format("{} bytes", stat.comp_size));
  }
}

std::span<const std::byte> data_of(zip_t* archive, Source& source, std::uint64_t index, const zip_stat_t& stat,
                                   std::string_view name, std::string_view file) {
  if (stat.size == 0) return {};
  std::array<std::byte, 16> first{};
  const std::uint64_t length = std::min<std::uint64_t>(first.size(), stat.size);
  source.budget = 1 << 20;  // a local header, of at most 128 KiB, and what is asked for
  const OpenEntry entry(zip_fopen_index(archive, index, ZIP_FL_COMPRESSED));
  if (!entry || zip_fread(entry.get(), first.data(), length) != static_cast<zip_int64_t>(length)) {
    fail(place_of(file, name), "cannot be read from the zip archive", {},
         entry ? zip_file_strerror(entry.get()) : zip_strerror(archive), "the file is damaged: download it again");
  }
  const std::uint64_t begin = source.last_read;
  if (std::memcmp(source.bytes.data() + begin, first.data(), length) != 0) {
    fail_internal({.what = "libzip read an entry elsewhere than it seemed", .where = place_of(file, name)});
  }
  if (stat.size > source.bytes.size() - begin) {
    fail(place_of(file, name), "data lies beyond the end of the file",
         fmt::format("at most {} bytes", source.bytes.size() - begin), fmt::format("{} bytes", stat.size),
         "the file is truncated: download or copy it again");
  }
  return source.bytes.subspan(begin, stat.size);
}

void check_overlap(std::vector<ZipEntry>& entries, std::string_view file) {
  std::ranges::sort(entries, {}, [](const ZipEntry& e) { return e.data.data(); });
  const ZipEntry* before = nullptr;
  for (const ZipEntry& e : entries) {
    if (e.data.empty()) continue;
    if (before != nullptr && before->data.data() + before->data.size() > e.data.data()) {
      fail(place_of(file, e.name), "overlaps another entry of the zip archive", {}, quote(before->name));
    }
    before = &e;
  }
}

}  // namespace

std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, std::string_view file) {
  check_end(text_of(bytes), file);
  Source source{.bytes = bytes, .budget = kMaxZipDirectory};
  const Archive archive = open_archive(source, file);
  std::vector<ZipEntry> entries;
  const auto count = static_cast<std::uint64_t>(zip_get_num_entries(archive.get(), 0));
  for (std::uint64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    if (zip_stat_index(archive.get(), i, ZIP_FL_ENC_RAW, &stat) != 0) {
      fail(file, "is a damaged zip archive", {}, zip_strerror(archive.get()));
    }
    const std::string name = stat.name;
    check_entry(stat, name, file);
    entries.push_back({name, data_of(archive.get(), source, i, stat, name, file)});
  }
  check_overlap(entries, file);
  std::ranges::sort(entries, {}, &ZipEntry::name);
  const auto twice = std::ranges::adjacent_find(entries, {}, &ZipEntry::name);
  if (twice != entries.end()) fail(place_of(file, twice->name), "name appears twice");
  return entries;
}

}  // namespace pkv::containers
