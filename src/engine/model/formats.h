// Number formats in memory: what `load` is asked to make of a folder's weights.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "engine/quant/quant.h"
#include "engine/tensor/dtype.h"

namespace pkv::model {

// Quantises the matrices of attention and MLP; embeddings, norms, biases and the output layer stay as they are.
struct Quantize {
  quant::Format format = quant::Format::nf4;
  std::optional<std::int64_t> block{};  // 4 bits: elements that share a scale; none: quant::kDefaultBlock, or as stored
  bool nested = false;                  // 4 bits: scales in 8 bits ("double quantisation")
  std::vector<std::string> skip{};      // modules that stay as they are: "h.0.mlp", "c_proj"
};

// Which activations int8 matrices multiply as they are, not in 8 bits. See kernels::Linear.
struct OutlierRule {
  float threshold = 6;   // activations from here on are outliers; 0: none are
  bool of_call = false;  // their columns are taken for all rows of a call together
};

// Which states of a past are kept to go back to: after calls of several tokens, at forks, and every so many tokens. Of
// more than `most_bytes` those go that lie closest to others, the nearer the end the later.
struct SnapshotRule {
  std::int64_t every = 1024;
  std::size_t most_bytes = std::size_t{1} << 30;
};

struct LoadOptions {
  std::optional<DType> dtype;       // of the matrices: fp32, fp16 or bf16; none: as each is stored
  std::optional<DType> past_dtype;  // of keys and values; none: that of the matrices, the widest where they differ
  std::optional<Quantize> quantize{};
  bool decode = false;  // matrices that are stored quantised become what their codes stand for, in `dtype`
  std::optional<float> int8_threshold{};  // none: as the config says, else 6
  bool int8_outliers_of_call = false;
  bool as_ggml = false;  // activations are rounded as llama.cpp rounds them, before products by its formats
  // Tokens that texts will have at most, where positions of longer texts turn otherwise (longrope); none: few.
  std::optional<std::int64_t> context{};
  SnapshotRule snapshots{};
  // Matrices that operations could read where they lie in a mapped file are copied from there: memory in large pages is
  // read faster, and copying takes the time of some passes.
  bool copied = false;
  Progress progress{};  // in bytes of the folder's tensors
};

}  // namespace pkv::model
