// Where the keys and values of one layer lie in a block of a past: the one place that knows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/tensor/dtype.h"

namespace pkv::kernels {

// Tokens in a block of the past. Attention visits keys block by block, so the bits of the logits depend on it: a
// constant of the numerics, not a setting.
constexpr std::int64_t kBlockTokens = 64;

// Block b of a sequence holds tokens [b*kBlockTokens, (b+1)*kBlockTokens): at byte `keys` the layer's keys as
// [kv_heads, head_dim, kBlockTokens], at byte `values` its values as [kv_heads, kBlockTokens, head_dim]; elements of
// `dtype` (fp32, fp16, bf16).
struct PastLayer {
  std::size_t keys = 0, values = 0;
  std::int64_t head_dim = 0;
  DType dtype = DType::f32;

  // Bytes from the start of a token's block to the first element of its key (value) in a kv head. The elements of a
  // key lie kBlockTokens apart, those of a value end to end.
  constexpr std::size_t key(std::int64_t head, std::int64_t token) const {
    return keys + static_cast<std::size_t>(head * head_dim * kBlockTokens + token % kBlockTokens) * size_of(dtype);
  }
  constexpr std::size_t value(std::int64_t head, std::int64_t token) const {
    return values + static_cast<std::size_t>((head * kBlockTokens + token % kBlockTokens) * head_dim) * size_of(dtype);
  }
};

}  // namespace pkv::kernels
