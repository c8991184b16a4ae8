#include "base/checksum.h"

#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>  // the same functions in the vectors that the processor has
#endif

namespace pkv {

std::uint64_t checksum(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::uint64_t checksum_of_rows(std::span<const std::uint64_t> checksums) { return checksum(std::as_bytes(checksums)); }

}  // namespace pkv
