// Checksums: XXH3, 64 bits. They find mistakes and damage; they are no defence against someone who wants them equal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pkv {

std::uint64_t checksum(std::span<const std::byte> bytes);

// Of several rows of logits in order: the checksum of their checksums, so that rows may be computed apart.
std::uint64_t checksum_of_rows(std::span<const std::uint64_t> checksums);

}  // namespace pkv
