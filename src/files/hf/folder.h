// A model folder as transformers' save_pretrained and the Hub lay it out: config.json, generation_config.json, and
// model.safetensors or model.safetensors.index.json with shards; where there are none, pytorch_model.bin or its index
// with shards. Opening maps the files and checks headers; it does not read weights. Gives names and Views; knows
// nothing of what they mean. Tokenizer files are read by room text.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/hf/source.h"

namespace pkv::containers {
class SafeTensors;
}

namespace pkv::hf {

struct Index;

// The file that config's transformers_weights names: the weights, or their index, in place of the usual names. Empty
// when there is no such key; Error::load when it names what cannot be read.
std::string weights_named(const Config& config);

class Folder final : public Source {
 public:
  // Which weights: those that config's transformers_weights names, else the first that is there of model.safetensors,
  // its index, pytorch_model.bin and its index, as transformers chooses. Load errors name the file at fault.
  static Folder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const override { return path_; }
  std::string name() const override;
  const Config& config() const override { return *config_; }
  const Config* generation_config() const override {
    return generation_config_.get();
  }  // null when there is no such file

  std::span<const std::filesystem::path> files() const { return files_; }            // with the weights, sorted by name
  std::span<const containers::Tensor> tensors() const override { return tensors_; }  // of all files
  std::span<const containers::Unreadable> unreadable() const override { return unreadable_; }
  const containers::Tensor* find(std::string_view name) const override;
  std::span<const containers::Other> others() const override { return others_; }
  std::vector<TokenizerPart> tokenizer() const override;

  std::span<const std::string> notes() const override { return notes_; }

 private:
  void open_weights();
  void open_index(const std::filesystem::path& index, std::string_view extension);
  containers::TensorFile open_tensors(const std::filesystem::path& path, std::string_view extension);
  void read_metadata(const containers::SafeTensors& file);
  void note_index(const Index& index, std::span<const containers::TensorFile> shards, std::string_view index_name);
  void add(const containers::TensorFile& file);
  void sort_names();
  void note_companions();
  void note_own_code();

  std::filesystem::path path_;
  std::unique_ptr<Config> config_, generation_config_;
  std::vector<std::filesystem::path> files_;
  std::vector<containers::Tensor> tensors_;
  std::vector<containers::Unreadable> unreadable_;
  std::vector<containers::Other> others_;
  std::map<std::string, std::string, std::less<>>
      aliases_;  // other names of tensors, as safetensors' metadata has them
  std::vector<std::string> notes_;
};

}  // namespace pkv::hf
