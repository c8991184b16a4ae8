// A model of any format that pkv reads: a Hugging Face folder, or a GGUF file (of several parts: any of them).
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "engine/model/source.h"

namespace pkv::model {

// Error::load, naming file and key or tensor, as those of hf::Folder and GgufSource.
std::unique_ptr<const Source> open_source(const std::filesystem::path& path);

// The files with its weights, sorted by name.
std::vector<std::filesystem::path> weight_files(const Source& source);

}  // namespace pkv::model
