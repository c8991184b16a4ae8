// A model folder as transformers' save_pretrained and the Hub lay it out: config.json, generation_config.json, and
// model.safetensors or model.safetensors.index.json with shards. Opening maps the files and checks headers; it does not
// read weights. Gives names and Views; knows nothing of what they mean. Tokenizer files are read by room text.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hf/config.h"
#include "hf/safetensors.h"

namespace pkv::hf {

class Folder {
 public:
  static Folder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const Config& config() const { return *config_; }
  const Config* generation_config() const { return generation_config_.get(); }  // null when there is no such file

  // Names of the safetensors files, in the order of the index.
  std::span<const std::filesystem::path> files() const { return files_; }
  std::span<const Tensor> tensors() const { return tensors_; }  // of all files, sorted by name
  const Tensor* find(std::string_view name) const;              // null when absent

 private:
  std::filesystem::path path_;
  std::unique_ptr<Config> config_, generation_config_;
  std::vector<std::filesystem::path> files_;
  std::vector<Tensor> tensors_;
};

}  // namespace pkv::hf
