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

// ggml's: by the blocks of Traits::decode_block.
void decode_blocks(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out);
extern const std::array<float, 16> kIq4Values, kMxfp4Values;
void decode_q4_0(const std::uint8_t* block, float* out);
void decode_q4_1(const std::uint8_t* block, float* out);
void decode_q5_0(const std::uint8_t* block, float* out);
void decode_q5_1(const std::uint8_t* block, float* out);
void decode_q8_0(const std::uint8_t* block, float* out);
void decode_q2_k(const std::uint8_t* block, float* out);
void decode_q3_k(const std::uint8_t* block, float* out);
void decode_q4_k(const std::uint8_t* block, float* out);
void decode_q5_k(const std::uint8_t* block, float* out);
void decode_q6_k(const std::uint8_t* block, float* out);
void decode_iq4_nl(const std::uint8_t* block, float* out);
void decode_iq4_xs(const std::uint8_t* block, float* out);
void decode_mxfp4(const std::uint8_t* block, float* out);
void decode_nvfp4(const std::uint8_t* block, float* out);
void decode_tq1_0(const std::uint8_t* block, float* out);
void decode_tq2_0(const std::uint8_t* block, float* out);

}  // namespace pkv::quant
