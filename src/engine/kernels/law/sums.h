// Orders of sums that depend on the length of what is summed alone.
#pragma once

#include "engine/kernels/law/both.h"

namespace pkv::kernels::law {

// 32 lanes of a warp: x = x + x[lane ^ d] for d = 16, 8, 4, 2, 1. Every lane ends with the same bits.
constexpr int kLanes = 32;
PKV_BOTH float tree_of_lanes(float (&lane)[kLanes]) {
  for (int d = kLanes / 2; d > 0; d /= 2) {
    for (int i = 0; i < d; ++i) lane[i] = lane[i] + lane[i + d];
  }
  return lane[0];
}

// A sum over a row (norm): 128 chains, element i belongs to chain (i / 4) % 128, each in ascending order from 0; chains
// 32 w to 32 w + 31 by the tree of lanes, then (w0 + w1) + (w2 + w3). A warp alone holds chains lane, lane + 32, ...
constexpr int kRowChains = 128;
PKV_BOTH int row_chain(std::int64_t i) { return static_cast<int>(i / 4 % kRowChains); }
PKV_BOTH float sum_of_warps(float w0, float w1, float w2, float w3) { return (w0 + w1) + (w2 + w3); }
PKV_BOTH float sum_of_chains(float (&chain)[kRowChains]) {
  float w[4];
  for (int i = 0; i < 4; ++i) {
    float lanes[kLanes];
    for (int l = 0; l < kLanes; ++l) lanes[l] = chain[32 * i + l];
    w[i] = tree_of_lanes(lanes);
  }
  return sum_of_warps(w[0], w[1], w[2], w[3]);
}

// 64 numbers, one for each token of a block: those 8 apart pairwise first (j and j + 8, then 16, then 32 apart), then
// neighbours, then 2 apart, then 4 apart.
PKV_BOTH float tree_of_8(const float* p, int step) {
  return ((p[0] + p[step]) + (p[2 * step] + p[3 * step])) + ((p[4 * step] + p[5 * step]) + (p[6 * step] + p[7 * step]));
}
PKV_BOTH float tree_of_block(const float (&p)[64]) {
  float u[8];
  for (int r = 0; r < 8; ++r) u[r] = tree_of_8(p + r, 8);
  return tree_of_8(u, 1);
}

}  // namespace pkv::kernels::law
