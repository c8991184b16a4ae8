// A product's order, from K to the result.
#pragma once

#include "engine/kernels/act.h"
#include "engine/kernels/law/functions.h"
#include "engine/kernels/law/halves.h"
#include "engine/kernels/law/sums.h"

namespace pkv::kernels::law {

// 16-bit weights. K is cut into segments; in each, two chains of steps of the matrix unit, 16 inputs a step, from 0:
// one with the first halves of the activations, one with the second. What is missing in the last step is 0.
//   sum = 0; for each segment: sum = sum + joined(chain of hi, chain of lo)
//   sum = (sum * 2^-a) * 2^-b;  for the weights kept apart, inputs ascending: sum = fma(x, weight, sum)
constexpr std::int64_t kStep = 16;
PKV_BOTH std::int64_t segment_of(std::int64_t in) { return in <= 1024 ? 128 : 256; }  // inputs
PKV_BOTH float scaled_back(float sum, float of_row, float of_output) { return (sum * of_row) * of_output; }

// fp32 weights. K is cut into pieces; in each, lane l of 32 takes the inputs 4 l to 4 l + 3 of every 128, ascending, by
// fma from 0; then the tree of lanes. sum = 0; for each piece: sum = sum + that of the piece.
constexpr std::int64_t kPiece = 1024, kStride = 4 * kLanes;

// bias, clip, act, add: of operands that are there.
struct Epilogue {
  const float* bias = nullptr;  // [outs]
  float clip = 0;
  Act act = Act::identity;
};
PKV_BOTH float finished(const Epilogue& e, std::int64_t o, float sum, const float* add) {
  if (e.bias != nullptr) sum = sum + e.bias[o];
  if (e.clip > 0) sum = sum > e.clip ? e.clip : sum < -e.clip ? -e.clip : sum;
  sum = apply(e.act, sum);
  return add != nullptr ? *add + sum : sum;
}

}  // namespace pkv::kernels::law
