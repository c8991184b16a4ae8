// Weights of 8 and 4 bits: the products of bench_kernels, and encoding.
#pragma once

#include <nlohmann/json.hpp>

#include "bench/lines.h"

namespace pkv::bench {

void bench_quantized(Machine& m, const OpOptions& o, nlohmann::json& out);

}  // namespace pkv::bench
