// What the rows of formats.cc are made of. Used inside the room only.
#pragma once

#include "engine/quant/quant.h"

namespace pkv::quant {

extern const std::array<float, 16> kNf4Values, kFp4Values;
extern const std::array<float, 15> kNf4Steps;
extern const std::array<float, 7> kFp4Steps;

void encode_nf4(const View& from, const Matrix& to, std::int64_t first, std::int64_t count);
void encode_fp4(const View& from, const Matrix& to, std::int64_t first, std::int64_t count);
void decode_four_bits(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out);

void encode_int8(const View& from, const Matrix& to, std::int64_t first, std::int64_t count);
void decode_int8(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out);

}  // namespace pkv::quant
