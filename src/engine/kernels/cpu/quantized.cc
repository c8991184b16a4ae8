// out = add + act(clip(x . weight^T + bias)) with weights of 8 and 4 bits.
//
// The product is made of integers. int8: as LLM.int8() defines it; the sums are exact, so that any order will do. 4
// bits: activations are rounded to 15 bits of the largest of 256 neighbours (at most 3e-5 of it), weights are integers
// in the ratios of the format's values (four_bits-inl.h); both errors are below what fp16 would make of the same
// numbers. `as_ggml`: activations are rounded as ggml does it before all else; what that gives meets blocks of 256
// weights exactly, since 129 times a code of 8 bits is one of 15.
//
// Row law: an integer sum of `codes_at_once` products in each lane is exact; it is rounded to fp32 and added, times its
// block's scale, to the sum of its span of 256; spans, times the activations' scale, to the sum of their piece of 1024;
// there the lanes are folded by one fixed tree, and pieces are added in their order. Few rows and many perform just
// these operations for each output. Threads share out outputs, never K.
#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/quantized.cc"
#include "hwy/foreach_target.h"
//
#include "engine/kernels/cpu/quantized_few-inl.h"
#include "engine/kernels/cpu/quantized_many-inl.h"
#include "engine/kernels/cpu/shares.h"
#include "engine/kernels/cpu/table.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

// Columns that hold an outlier in any row of the call.
void flag_outliers(const Linear& a, std::uint8_t* flags) {
  std::fill(flags, flags + a.quantized.in, 0);
  for (Int r = 0; r < a.x[0]; ++r) {
    const float* x = row(a.x, r);
    for (Int i = 0; i < a.quantized.in; ++i) flags[i] |= std::fabs(to_float(to_f16(x[i]))) >= a.outlier_threshold;
  }
}

// Up to here, groups of few rows that go over the same outputs are faster than unpacking panels for so few.
constexpr Int kSomeRows = 24;

template <bool kVnni>
void multiply(WorkerPool& pool, const Linear& a, const XRow* x) {
  const quant::Matrix& m = a.quantized;
  const Int rows = a.x[0], work = rows * m.in * m.out;
  if (rows <= kSomeRows) {
    const Shares shares(ceil_div(m.out, kFewOuts), pool.threads());
    spread(pool, shares.count(), work / 2, [&](Int i) noexcept {
      const auto [begin, end] = shares.range(i);
      for (Int o = begin * kFewOuts; o < std::min(end * kFewOuts, m.out); o += kFewOuts) {
        for (Int r = 0; r < rows; r += kFewRows) {
          few<kVnni>(rows_of(a, r, std::min(kFewRows, rows - r)), x + r, o, std::min(kFewOuts, m.out - o));
        }
      }
    });
    return;
  }
  const Int task = task_outs(m.out, 1, pool.threads(), kPanelOuts, kQTaskOuts);
  spread(pool, ceil_div(m.out, task), work, [&](Int i) noexcept {
    const Int o0 = i * task;
    many<kVnni>(a, x, {rows, o0, std::min(task, m.out - o0)});
  });
}

// Formats without integers: a piece of a row of weights is decoded, meets all rows of x, and is forgotten. Row law: an
// output's sum over a piece is one chain of vectors, folded by the fixed tree; pieces are added in their order.
HWY_NOINLINE void decoded_outs(const Linear& a, Int first, Int outs) {
  const Floats d;
  const quant::Matrix& m = a.quantized;
  constexpr Int kRows = QuantizedRows::kRows;
  alignas(64) float w[kPiece], coarse[kPiece], sums[kRows][kFewStride];
  for (Int o = 0; o < outs; ++o) {
    for (Int k = 0; k < m.in; k += kPiece) {
      const Int n = std::min(kPiece, m.in - k), whole = n / kLanes * kLanes;
      quant::decode(m, first + o, k, {w, static_cast<std::size_t>(n)});
      for (Int r = 0; r < a.x[0]; ++r) {
        const float* x = row(a.x, r) + k;
        if (a.as_ggml) {
          const auto size = static_cast<std::size_t>(n);
          quant::round_as_ggml(m.format, {x, size}, {coarse, size});
          x = coarse;
        }
        Vec sum = hn::Zero(d);
        for (Int i = 0; i < whole; i += kLanes) sum = hn::MulAdd(hn::LoadU(d, x + i), hn::Load(d, w + i), sum);
        alignas(16) float folded[4];
        fold4(sum, sum, sum, sum, folded);
        sums[r][o] = k == 0 ? folded[0] : sums[r][o] + folded[0];
      }
    }
  }
  for (Int r = 0; r < a.x[0]; ++r) finish(a, r, first, outs, sums[r]);
}

bool has_integers(const quant::Matrix& m) {
  if (m.traits().scaling != quant::Scaling::inside) return true;
#if HWY_TARGET == HWY_SCALAR
  return false;
#else
  return with_unpacker(m.format, [](const auto&) {});
#endif
}

void linear_decoded(WorkerPool& pool, const Linear& a) {
  for (Int first = 0; first < a.x[0]; first += QuantizedRows::kRows) {
    const Linear part = rows_of(a, first, std::min(QuantizedRows::kRows, a.x[0] - first));
    spread(pool, ceil_div(a.quantized.out, kFewOuts), 4 * part.x[0] * a.quantized.elements(), [&](Int i) noexcept {
      decoded_outs(part, i * kFewOuts, std::min(kFewOuts, a.quantized.out - i * kFewOuts));
    });
  }
}

template <bool kVnni>
void linear_blocks(WorkerPool& pool, const Linear& a) {
  const QuantizedRows layout(a.quantized, a.x[0]);
  const std::uint8_t* flags = nullptr;
  if (a.outliers_of_call && a.quantized.traits().product == quant::Product::of_codes) {
    auto* to = layout.flags(a.scratch.as<std::byte>());
    flag_outliers(a, to);
    flags = to;
  }
  XRow x[QuantizedRows::kRows];
  for (Int first = 0; first < a.x[0]; first += layout.rows()) {
    const Linear part = rows_of(a, first, std::min(layout.rows(), a.x[0] - first));
    spread(pool, part.x[0], 16 * part.x[0] * a.quantized.in,
           [&](Int r) noexcept { x[r] = quantize_row<kVnni>(part, row(part.x, r), r, layout, flags); });
    multiply<kVnni>(pool, part, x);
  }
}

// Rows of all products are quantised at once, then blocks of outputs of all are gone through as of one product.
template <bool kVnni>
void each_of_blocks(WorkerPool& pool, std::span<const Linear> all) {
  const quant::Matrix& m = all[0].quantized;
  XRow x[QuantizedRows::kRows];
  Int first[QuantizedRows::kRows + 1] = {}, of[QuantizedRows::kRows];
  for (Int i = 0; i < std::ssize(all); ++i) {
    const Int rows = all[static_cast<std::size_t>(i)].x[0];
    std::fill_n(of + first[i], rows, i);
    first[i + 1] = first[i] + rows;
  }
  const Int rows = first[all.size()], blocks = ceil_div(m.out, kFewOuts);
  const QuantizedRows layout(m, rows);
  spread(pool, rows, 16 * rows * m.in, [&](Int r) noexcept {
    const Linear& a = all[static_cast<std::size_t>(of[r])];
    x[r] = quantize_row<kVnni>(a, row(a.x, r - first[of[r]]), r, layout, nullptr);
  });
  const Shares shares(blocks * std::ssize(all), pool.threads());
  spread(pool, shares.count(), rows * m.in * m.out / 2, [&](Int i) noexcept {
    const auto [begin, end] = shares.range(i);
    for (Int b = begin; b < end; ++b) {
      const Int o = b % blocks * kFewOuts;
      few<kVnni>(all[static_cast<std::size_t>(b / blocks)], x + first[b / blocks], o, std::min(kFewOuts, m.out - o));
    }
  });
}

bool linear_quantized_each_here(WorkerPool& pool, std::span<const Linear> all) {
  if (!has_integers(all[0].quantized) || all[0].outliers_of_call) return false;
#if HWY_TARGET == HWY_AVX3
  static const bool vnni = __builtin_cpu_supports("avx512vnni") != 0;
  if (vnni) return each_of_blocks<true>(pool, all), true;
#endif
  return each_of_blocks<false>(pool, all), true;
}

void linear_quantized_here(WorkerPool& pool, const Linear& a) {
  if (a.x[0] == 0 || a.quantized.out == 0) return;
  if (!has_integers(a.quantized)) return linear_decoded(pool, a);
#if HWY_TARGET == HWY_AVX3
  static const bool vnni = __builtin_cpu_supports("avx512vnni") != 0;
  if (vnni) return linear_blocks<true>(pool, a);
#endif
  linear_blocks<false>(pool, a);
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(linear_quantized_here);
HWY_EXPORT(linear_quantized_each_here);
}  // namespace

void linear_quantized(Device& device, const Linear& a) noexcept {
  HWY_DYNAMIC_DISPATCH(linear_quantized_here)(host::pool_of(device), a);
}

bool linear_quantized_each(Device& device, std::span<const Linear> few) noexcept {
  return HWY_DYNAMIC_DISPATCH(linear_quantized_each_here)(host::pool_of(device), few);
}

}  // namespace pkv::kernels::cpu
#endif
