// Attention of a query (one head of a row) to the keys [first, limit) of its past.
#pragma once

// Blocks of 64 tokens from that of `first` on. In a block, of the keys that are seen:
//   dot_j    by the past's type, from 0: of fp16, q as two halves (halves.h; 2^a for the head of the row, by its own
//            largest), a chain of steps of the matrix unit over the dimensions for each, joined, times 2^-a; of bf16,
//            the same with three pieces; of fp32, one chain of fma over the dimensions
//   score_j  `score` of it; most = the largest that is a number, at least kLowest
//   p_j      weight_of(score_j - most), 0 for the others; sum = tree_of_block(p)
//   value_d  from 0: p 2^14 as two halves (three pieces) by steps of the matrix unit over the block's four times 16
//            tokens, joined, times 2^-14; of fp32, one chain of fma over the tokens that are seen
// Values of keys that are not seen are taken for 0: they may be NaN. Blocks are folded in order within segments of
// kSegmentBlocks blocks, counted from position 0; then segments in order, by the same fold; out = value / sum.

#include "engine/kernels/law/functions.h"
#include "engine/kernels/law/halves.h"
#include "engine/kernels/law/rows.h"
#include "engine/kernels/law/sums.h"

namespace pkv::kernels::law {

constexpr std::int64_t kBlock = 64, kSegmentBlocks = 4;
constexpr float kLowest = -3.402823466e38f;  // the smallest number: a score of -infinity weighs 0
constexpr float kWeightScale = 0x1p14f;

// What a query sees.
struct Seen {
  std::int64_t first, limit;
};
PKV_BOTH Seen seen_by(std::int64_t position, std::int64_t end, bool causal, std::int64_t window,
                      std::int64_t first_key) {
  const std::int64_t limit = causal ? position + 1 : end, from = window > 0 ? limit - window : 0;
  return {from > first_key ? from : first_key, limit};
}

// The bias of ALiBi at key j against that at the query's own position.
struct Slope {
  float slope = 0;  // of the head; rounded to bf16 where biases are
  float own = 0;    // rounded: the bias at the query's position
  bool rounded = false;
};
PKV_BOTH float bf16_bias(float slope, std::int64_t j) { return float_of_bf16(bf16_of(slope * static_cast<float>(j))); }
PKV_BOTH Slope slope_of(float slope, std::int64_t position, bool rounded) {
  if (!rounded) return {slope, 0, false};
  const float s = float_of_bf16(bf16_of(slope));
  return {s, bf16_bias(s, position), true};
}
PKV_BOTH float bias_of(const Slope& s, std::int64_t j, std::int64_t position) {
  return s.rounded ? bf16_bias(s.slope, j) - s.own : s.slope * static_cast<float>(j - position);
}

// scale: Attend::scale, times the row's factor where there is one. Without slopes call it with alibi_scale 0.
PKV_BOTH float score(float dot, float scale, float cap) {
  const float s = dot * scale;
  return cap > 0 ? capped(s, cap) : s;
}
PKV_BOTH float score(float dot, float scale, float cap, float alibi_scale, float bias) {
  const float s = fma(alibi_scale, bias, dot * scale);
  return cap > 0 ? capped(s, cap) : s;
}

// What has been folded so far, beside the values.
struct Running {
  float most, sum;
};
struct Factors {
  float before, now;
};
// value = folded(value, values of the block, factors of the fold)
PKV_BOTH Factors fold(Running& all, Running block) {
  const float most = larger(all.most, block.most);
  const Factors f{weight_of(all.most - most), weight_of(block.most - most)};
  all.sum = fma(all.sum, f.before, block.sum * f.now);
  all.most = most;
  return f;
}
// A sink is folded last, as a block whose value is 0: out = folded(value, 0, fold(all, of_sink(sink))) / all.sum.
PKV_BOTH Running of_sink(float sink) { return {sink, 1.f}; }
PKV_BOTH float folded(float before, float now, Factors f) { return fma(before, f.before, now * f.now); }

}  // namespace pkv::kernels::law
