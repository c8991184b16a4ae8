// A zip archive in memory (a mapped file), read with libzip: which entries it holds and where the bytes of each lie, so
// that what is stored uncompressed can be used in place. Nothing is unpacked: compressed and encrypted entries are
// refused. Used by the PyTorch reader; not part of the room's door.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::containers {

struct ZipEntry {
  std::string name;  // as stored: may be no UTF-8
  std::span<const std::byte> data;
};

// Limits, so that a hostile archive costs neither memory nor time.
inline constexpr std::uint64_t kMaxZipEntries = 65'536;
inline constexpr std::uint64_t kMaxZipDirectory = 16 << 20;  // bytes that libzip may read to find the entries

// Sorted by name. `file` is only named in errors. Load error for what is no zip archive or a truncated one, one with
// something after its end or with a second end, with more than is allowed above, a name that is given twice or leads
// outside the archive (an absolute one, "..", a backslash), data outside the file and entries that overlap. Checksums
// are not checked: that would read all data.
std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, std::string_view file);

}  // namespace pkv::containers
