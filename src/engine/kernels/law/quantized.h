// Products with quantised matrices.
//
// 4 bits (nf4, fp4) and blocks of GGUF files: the decoded fp32 values (value_of_code(code) * scale; what quant::decode
// gives) are multiplied as fp32 weights are: linear.h, lanes and pieces of K.
//
// int8: codes of activations (`code_of`, of the row's own scale) and of weights are multiplied and summed exactly, as
// integers, in any order. Then the row's outliers, columns ascending, by fma from 0, with the weight's decoded value:
//   sum = int8_product(integers, scale of the row, scale of the output) + outliers      (if there are any)
#pragma once

#include "engine/kernels/law/both.h"

namespace pkv::kernels::law {

// As quant::encode_activations: all in fp16 first.
PKV_BOTH float as_half(float x) { return float_of_half(half_of(x)); }
PKV_BOTH bool is_outlier(float as_half, float threshold) { return threshold > 0.f && magnitude(as_half) >= threshold; }
PKV_BOTH float inverse_of(float scale) { return scale > 0.f ? 127.f / scale : 0.f; }
PKV_BOTH std::int32_t code_of(float as_half, float inverse) {
  return static_cast<std::int32_t>(rounded_to_whole(as_half * inverse));
}

PKV_BOTH float decoded_int8(std::int32_t code, float scale) {
  return static_cast<float>(code) * scale * 7.874015718698502e-3f;
}
PKV_BOTH float int8_product(std::int32_t sum, float row_scale, float scale) {
  return static_cast<float>(sum) * ((row_scale * scale) * 0x1.040c2p-14f);  // 1 / 127^2
}

}  // namespace pkv::kernels::law
