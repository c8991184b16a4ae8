// The table `cuda`: NVIDIA's GPUs of compute capability 9.0 (H100, H200), built where a compiler for CUDA is there
// (cmake/cuda.cmake). What it computes is the law of `law/`; the host's table `cuda-model` gives the same bits without
// a GPU. docs/gpu.md says how it is used. No type of CUDA's shows in this header.
#pragma once

#include <string>

#include "engine/kernels/kernels.h"

namespace pkv::kernels::cuda {

// Null where it cannot run: see `absent`.
const Ops* ops();

// Why not, as a sentence: no GPU, none that is supported, no driver, or a pkv built without it. Empty where it can.
std::string absent();

}  // namespace pkv::kernels::cuda
