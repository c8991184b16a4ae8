// What every table's `linear` shares: which quantised matrices it takes; and what those of the host share: the scratch
// memory of a call.
#include <algorithm>

#include "engine/kernels/host.h"
#include "engine/kernels/quantized.h"

namespace pkv::kernels {

bool can_multiply(const quant::Matrix& m) {
  const quant::Traits& t = m.traits();
  const bool whole_blocks = !t.has_blocks() || m.block % t.columns_multiple == 0;
  return m.in <= t.most_columns && m.in % t.columns_multiple == 0 && whole_blocks;
}

std::size_t host::linear_scratch(const quant::Matrix& m, std::int64_t rows) noexcept {
  return QuantizedRows(m, rows).bytes();
}

}  // namespace pkv::kernels
