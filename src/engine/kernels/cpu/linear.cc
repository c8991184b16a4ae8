// out = add + act(clip(x . weight^T + bias)).
//
// Row law: K is cut into pieces of the same length, at most kPiece, by K alone. In a piece an output's sum is one
// chain: its accumulator is one vector; step i multiplies elements [i*lanes, (i+1)*lanes) of the two rows into it, the
// last step padded with zeros; then the lanes are folded by one fixed tree. The pieces' sums are added in their order.
// Every path below, one row or many, performs just these operations for each output. Threads share out outputs and
// rows, never K. (Folding each piece leaves one number to keep between pieces where an unfolded accumulator is a
// vector: putting 25 vectors down and taking them up again cost a tile of 1024 steps a fifth of its time.)
#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/linear.cc"
#include "hwy/foreach_target.h"
//
#include "engine/kernels/cpu/linear_few-inl.h"
#include "engine/kernels/cpu/linear_many-inl.h"
#include "engine/kernels/cpu/shares.h"
#include "engine/kernels/cpu/table.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class W>
void linear_of(WorkerPool& pool, const Linear& a) {
  const Int rows = a.x[0], outs = a.weight[0];
  if (rows <= kFewRows) {
    const Shares shares(ceil_div(outs, kFewOuts), pool.threads());
    spread(pool, shares.count(), rows * outs * a.x[1], [&](Int i) noexcept {
      const auto [begin, end] = shares.range(i);
      for (Int o = begin * kFewOuts; o < std::min(end * kFewOuts, outs); o += kFewOuts) {
        few<W>(a, o, std::min(kFewOuts, outs - o));
      }
    });
    return;
  }
  // Blocks of rows of about the same size. They follow each other, so that a block of weights is read from memory once.
  const Int row_blocks = ceil_div(rows, kBlockRows);
  const Int block = ceil_div(ceil_div(rows, row_blocks), kTileRows) * kTileRows;
  const Int task = task_outs(outs, row_blocks, pool.threads(), kTileOuts, kTaskOuts);
  spread(pool, row_blocks * ceil_div(outs, task), rows * outs * a.x[1], [&](Int i) noexcept {
    const Int r0 = i % row_blocks * block, o0 = i / row_blocks * task;
    many_rows<W>(a, {r0, std::min(block, rows - r0), o0, std::min(task, outs - o0)});
  });
}

// Blocks of outputs of all products as of one that is as long.
template <class W>
void each_of(WorkerPool& pool, std::span<const Linear> all) {
  static_assert(kFewAtOnce == kFewRows);
  const Int outs = all[0].weight[0], blocks = ceil_div(outs, kFewOuts), count = std::ssize(all);
  const Shares shares(blocks * count, pool.threads());
  spread(pool, shares.count(), count * outs * all[0].x[1], [&](Int i) noexcept {
    const auto [begin, end] = shares.range(i);
    for (Int b = begin; b < end; ++b) {
      const Int o = b % blocks * kFewOuts;
      few<W>(all[static_cast<std::size_t>(b / blocks)], o, std::min(kFewOuts, outs - o));
    }
  });
}

void linear_each_here(WorkerPool& pool, std::span<const Linear> all) {
  if (all[0].weight.dtype == DType::f16) return each_of<f16>(pool, all);
  if (all[0].weight.dtype == DType::bf16) return each_of<bf16>(pool, all);
  return each_of<float>(pool, all);
}

void linear_here(WorkerPool& pool, const Linear& a) {
  if (a.x[0] == 0 || a.weight[0] == 0) return;
  if (a.weight.dtype == DType::f16) return linear_of<f16>(pool, a);
  if (a.weight.dtype == DType::bf16) return linear_of<bf16>(pool, a);
  return linear_of<float>(pool, a);
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(linear_here);
HWY_EXPORT(linear_each_here);
}  // namespace
void linear(Device& device, const Linear& a) noexcept {
  if (a.quantized) return linear_quantized(device, a);
  HWY_DYNAMIC_DISPATCH(linear_here)(host::pool_of(device), a);
}
void linear_each(Device& device, std::span<const Linear> few) noexcept {
  HWY_DYNAMIC_DISPATCH(linear_each_here)(host::pool_of(device), few);
}
}  // namespace pkv::kernels::cpu
#endif
