// Contents: what is in a folder or a file as far as it can be read, whether or not it is a model that anything here can
// run. A folder's config, and the tensors of its weight files; of a file by itself whichever of these it is: weights
// (safetensors, PyTorch), an index of shards, a config or another JSON text. What cannot be read is kept as an error
// beside what can.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "files/containers/tensor_file.h"
#include "files/hf/config.h"

namespace pkv::hf {

struct Contents {
  bool folder = false;
  std::string kind;  // of a file: "safetensors"
  // Of a folder, its config.json; of a JSON file, itself. Null when there is none that can be read.
  std::unique_ptr<Config> config;
  std::vector<std::filesystem::path> files;  // with the tensors, sorted by name
  std::vector<containers::Tensor> tensors;   // of all files, sorted by name
  std::vector<containers::Unreadable> unreadable;
  std::vector<std::pair<std::string, std::string>> said;  // what else a file says, name and value: metadata, entries
  std::vector<Error> faults;                              // what could not be read

  std::int64_t parameters() const;  // elements of all tensors
  std::uint64_t bytes() const;      // of all tensors
};

// Error::load when there is nothing of that name, or it may not be read at all.
Contents contents_of(const std::filesystem::path& path);

}  // namespace pkv::hf
