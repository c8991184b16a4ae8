// What the benchmarks of single operations share: their options and their random tensors.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "engine/tensor/buffer.h"

namespace pkv::bench {

struct OpOptions {
  bool json = false;
  std::string only;    // lines that hold this word; empty: all
  double seconds = 0;  // of timing per line
  int threads = 0;
};

// Refuses like bench::Options, and sets the clock and the instruction set that were asked for.
OpOptions read_op_options(std::string_view usage, int argc, char** argv, double seconds);

// A short cycle of random values: numbers for all elements would take longer than the timing.
Buffer random_buffer(DType dtype, std::initializer_list<std::int64_t> shape, std::uint64_t seed);

}  // namespace pkv::bench
