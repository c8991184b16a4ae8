// The cpu table: vectors by Highway, compiled for several instruction sets and chosen at run time, on a worker pool.
// The same operations as `naive` in fp32, fast; how each keeps the row law is said beside it.
#pragma once

#include "engine/kernels/kernels.h"

namespace pkv::kernels::cpu {

const Ops& ops();

}  // namespace pkv::kernels::cpu
