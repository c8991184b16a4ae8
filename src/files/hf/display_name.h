// What a model folder is called in reports.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace pkv::hf {

// What a report calls the model of that folder: the Hub's name for a snapshot of the Hub's cache ("org/name"), else the
// path's last name, also of "." and of a path that ends in '/'.
std::string display_name(const std::filesystem::path& folder);

// The Hub's name of the model whose snapshot a folder is ("mosaicml/mpt-7b"); none when it is no snapshot of a cache.
std::optional<std::string> repo_of_snapshot(const std::filesystem::path& folder);

}  // namespace pkv::hf
