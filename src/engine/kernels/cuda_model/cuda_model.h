// The table `cuda-model`: the arithmetic of the CUDA table (law/), to the bit, by loops on the host. What tests hold to
// the definitions and to the row law where there is no GPU, and what a GPU is held to. Slow; nobody is given it
// unasked.
#pragma once

#include "engine/kernels/kernels.h"

namespace pkv::kernels::cuda_model {

const Ops& ops();

}  // namespace pkv::kernels::cuda_model
