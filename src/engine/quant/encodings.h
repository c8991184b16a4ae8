// The two kinds of formats, chosen in quant.cc. Used inside the room only.
#pragma once

#include "engine/quant/quant.h"

namespace pkv::quant {

void encode_four_bits(const View& from, const Matrix& to, std::int64_t first, std::int64_t count);
void encode_int8(const View& from, const Matrix& to, std::int64_t first, std::int64_t count);
void decode_four_bits(const Matrix& m, std::int64_t first, std::span<float> out);
void decode_int8(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out);

}  // namespace pkv::quant
