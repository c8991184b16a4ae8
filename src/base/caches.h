// How much memory there is, and how much of it has to be read for a rate to be the memory's and not the processor's
// caches'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace pkv {

// Bytes, twice as many as all data caches hold together; but at least 128 MiB, and no more than an eighth of the memory
// that is available here, a container's limit included, where that is more. Where the system does not list its caches,
// the C library's word for one third-level cache is taken. `root`: where the system's /sys and /proc are.
std::size_t beyond_caches(const std::filesystem::path& root = "/");

// Bytes of memory that are available here, a container's limit included; 0 where the system does not say.
std::uint64_t available_memory(const std::filesystem::path& root = "/");

}  // namespace pkv
