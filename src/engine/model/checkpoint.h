// Matrices as bitsandbytes stores them: which tensors of a folder make one, checked against each other. Nothing is
// decoded here but what is needed to check.
//
//   NAME                                   the codes: int8 [out, in]; 4 bits: ceil(out * in / 2) bytes of any dtype
//   NAME.quant_state.bitsandbytes__nf4     4 bits (or __fp4): JSON: block size, dtype, shape, nested offset
//   NAME.absmax, NAME.quant_map            fp32 scales, or uint8 codes of scales when nested; fp32 table of 16 values
//   NAME.nested_absmax, .nested_quant_map  fp32 [ceil(blocks / 256)], fp32 [256]
//   MODULE.SCB, MODULE.weight_format       int8: fp32 [out]; uint8, 0 (rows), may be missing
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
                                          std::int64_t in);

// The config's `quantization_config`, read and checked; the int8 threshold it asks for. Error::load for any method but
// bitsandbytes.
std::optional<float> read_quantization_config(const hf::Config& config);

}  // namespace pkv::model
