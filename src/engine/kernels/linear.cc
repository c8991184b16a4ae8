// What every table's `linear` shares: which quantised matrices it takes, and the scratch memory of a call.
#include <algorithm>

#include "engine/kernels/quantized.h"

namespace pkv::kernels {

bool can_multiply(const quant::Matrix& m) {
  const quant::Traits& t = m.traits();
  const bool whole_blocks = !t.has_blocks() || m.block % t.columns_multiple == 0;
  return m.in <= t.most_columns && m.in % t.columns_multiple == 0 && whole_blocks;
}

std::size_t linear_scratch(const quant::Matrix& m, std::int64_t rows) { return QuantizedRows(m, rows).bytes(); }

}  // namespace pkv::kernels
