// The store of blobs that huggingface_hub shares between models (CACHE/blobs/HH/HASH, since its version 2): a model's
// blob is then a link into it, and HASH.refs lists the links. pkv reads such blobs like any other; here is what
// removing needs. The list is a hint: only links that are really there count, and where there is no list nothing is
// removed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>

namespace pkv::hub {

// Where in the store a model's blob lies; none when the blob is a file of its own, or a link to anywhere else.
std::optional<std::filesystem::path> shared_blob(const std::filesystem::path& cache, const std::filesystem::path& blob);

// The models' blobs that are links to it; none when that is not known.
std::optional<std::set<std::filesystem::path>> blobs_that_share(const std::filesystem::path& cache,
                                                                const std::filesystem::path& stored);

// Removes it if no model's blob is a link to it any more. As huggingface_hub does, under its lock.
void sweep_shared_blob(const std::filesystem::path& cache, const std::filesystem::path& stored);

}  // namespace pkv::hub
