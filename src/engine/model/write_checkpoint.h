// A model that loading has quantised, written as transformers and bitsandbytes write it: a folder that they load, and
// that `load` takes as it is. The tensors' names are the source folder's; what engine/model/checkpoint.h reads is what
// this writes.
//
//   const Model m = load(folder, kernels::Backend("cpu"), {.quantize = Quantize{.format = quant::Format::nf4}});
//   const Written w = write_checkpoint(m, "my-model-nf4");
//
// Beyond the model it holds a constant amount of memory: tensors that are not quantised go from file to file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "engine/model/model.h"

namespace pkv::model {

struct WriteOptions {
  std::optional<DType> dtype{};             // of everything not quantised, vectors too; none: as stored
  DType storage = DType::u8;                // 4 bits: what codes are stored as: u8, or fp16, bf16, fp32 (same bytes)
  std::uint64_t max_shard = 5'000'000'000;  // bytes of data in a file
  Progress progress{};                      // in bytes written; what it throws ends the writing
};

struct Written {
  std::vector<std::string> files;             // with weights
  std::uint64_t bytes_before = 0, bytes = 0;  // of all tensors
  std::int64_t matrices = 0, weights = 0;     // quantised, and elements of these
  std::uint64_t quantised_bytes = 0;          // what they take, with scales, tables and states
};

// What can be known before the weights are read. Error::usage when they are quantised already.
void require_not_quantised(const Source& source);

// The folder appears when it is complete, or not at all. Error::usage when the place is taken, when `m` was not
// quantised by loading, or when codes cannot be stored as asked; Error::load when it cannot be written.
Written write_checkpoint(const Model& m, const std::filesystem::path& place, const WriteOptions& options = {});

}  // namespace pkv::model
