// What every table's `linear` shares: which quantised matrices it takes, and the scratch memory of a call.
#include <algorithm>

#include "engine/kernels/quantized.h"

namespace pkv::kernels {

bool can_multiply(const quant::Matrix& m) {
  // Sums of products of int8 stay below 2^31; a vector's codes of 4 bits lie in one block.
  if (m.format == quant::Format::int8) return m.in <= std::int64_t{1} << 17;
  return m.in % 32 == 0 && m.block % 32 == 0;
}

std::size_t linear_scratch(const quant::Matrix& m, std::int64_t rows) { return QuantizedRows(m, rows).bytes(); }

}  // namespace pkv::kernels
