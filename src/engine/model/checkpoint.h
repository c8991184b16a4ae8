// Matrices as they are stored quantised: which tensors of a source make one, checked against each other. Nothing is
// decoded here but what is needed to check. GGUF: one tensor, see containers::Tensor::format. bitsandbytes:
//
//   NAME                                   the codes: int8 [out, in]; 4 bits: ceil(out * in / 2) bytes of any dtype
//   NAME.quant_state.bitsandbytes__nf4     4 bits (or __fp4): JSON: block size, dtype, shape, nested offset
//   NAME.absmax, NAME.quant_map            fp32 scales, or uint8 codes of scales when nested; fp32 table of 16 values
//   NAME.nested_absmax, .nested_quant_map  fp32 [ceil(blocks / 256)], fp32 [256]
//   MODULE.SCB, MODULE.weight_format       int8: fp32 [out]; uint8, 0 (rows), may be missing; before bitsandbytes
//   0.43.1
//                                          a text in PyTorch's files: "row"
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/formats.h"
#include "files/hf/hf.h"

namespace pkv::model {

// "h.0.mlp.c_fc.weight" is that of "h.0.mlp.c_fc".
std::string module_of(const std::string& tensor);

// How an entry that changes the meaning of tensors is asked for: see hf::Source::others.
using FindOther = std::function<const containers::Other*(const std::string& name)>;

struct StoredMatrix {
  quant::Matrix matrix;  // views of the file; `scales` empty when nested
  bool nested = false;
  std::vector<float> scales;      // decoded, when nested
  std::vector<std::string> used;  // names of the tensors it is made of
};

// `find` gives a tensor by its name without the base model's prefix. `name`: "h.0.mlp.c_fc.weight". None when that is
// an ordinary tensor or missing. Error::load, naming the tensor, for one that contradicts itself, or is not [out, in].
using FindTensor = std::function<const containers::Tensor*(const std::string& name)>;
std::optional<StoredMatrix> stored_matrix(const FindTensor& find, const std::string& name, std::int64_t out,
                                          std::int64_t in, const FindOther& other = {});

// What the config's `quantization_config` says, read and checked. Error::load for any method but bitsandbytes.
struct QuantizationConfig {
  std::optional<float> threshold{};  // of int8's outliers
  bool eight_bits = false, four_bits = false;

  // What it says that the tensors do not, for a reader of a report; empty where they agree. `found`: the format of the
  // matrices that are stored quantised.
  std::string disagrees(const std::string& file, std::optional<quant::Format> found) const;
};
QuantizationConfig read_quantization_config(const hf::Config& config);

}  // namespace pkv::model
