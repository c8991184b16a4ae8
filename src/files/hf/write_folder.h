// The writing side of a model folder, as transformers' save_pretrained lays it out: weights in one file or in shards
// with an index, and config.json with what it says about bitsandbytes. Knows nothing of what tensors mean.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "files/containers/safetensors.h"
#include "files/hf/config.h"

namespace pkv::hf {

// Tensors that stay in one file.
using PlannedGroup = std::vector<containers::Planned>;

// model.safetensors; or, above `max_shard` bytes of data, model-00001-of-0000N.safetensors and their index. A group
// that is larger by itself gets a file of its own. Gives the names of the weight files.
std::vector<std::string> write_weights(const std::filesystem::path& folder, std::span<const PlannedGroup> groups,
                                       std::uint64_t max_shard, const Progress& progress = {});

// `quantization_config` as transformers writes it.
struct BitsAndBytes {
  bool eight_bits = false;
  std::string type = "fp4", compute_dtype = "float32", storage = "uint8";  // as it writes them for 8 bits too
  bool nested = false;
  std::vector<std::string> skip;  // modules; null when empty: transformers then leaves out the output layer by itself
  double threshold = 6;
};

// config.json's text: all that `source` says, with `quantization_config`, and with `dtype` ("float16") when given.
std::string config_text(const Config& source, const BitsAndBytes& quantization, std::string_view dtype = {});

// Copies generation_config.json and what belongs to the tokenizer, where they are there. Gives their names.
std::vector<std::string> copy_companions(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace pkv::hf
