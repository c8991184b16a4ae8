// How tensors lie in a safetensors file: sizes, and data that is contiguous from 0 to the end. Used by the reader and
// the writer; not part of the room's door.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "files/containers/safetensors.h"

namespace pkv::containers {

// Bytes of a dense tensor of elements of `bits`; none when a product overflows or it does not end at a whole byte.
std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, std::uint64_t bits);

// Sorts by offset. Load error for a name given twice, offsets that do not fit shape, dtype or the data, a hole, an
// overlap, and data that no tensor covers.
void sort_and_check(std::vector<Header::Entry>& entries, std::uint64_t data_size, std::string_view file);

}  // namespace pkv::containers
