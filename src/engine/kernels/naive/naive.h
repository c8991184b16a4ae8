// The naive table: plain loops over rows, sums in double. It is the definition that every other table is judged by, so
// nothing here is clever.
#pragma once

#include "engine/kernels/kernels.h"

namespace pkv::kernels::naive {

const Ops& ops();

}  // namespace pkv::kernels::naive
