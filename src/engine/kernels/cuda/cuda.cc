#include "engine/kernels/cuda/cuda.h"

namespace pkv::kernels::cuda {

#ifdef PKV_CUDA

// Of the sources that nvcc compiles.
const Ops& compiled_table();
std::string find_gpu();

std::string absent() {
  static const std::string why = find_gpu();
  return why;
}

const Ops* ops() { return absent().empty() ? &compiled_table() : nullptr; }

#else

const Ops* ops() { return nullptr; }
std::string absent() { return "this pkv was built without its table for GPUs, which needs nvcc (PKV_CUDA=ON)"; }

#endif

}  // namespace pkv::kernels::cuda
