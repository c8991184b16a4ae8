// What the paths of linear with quantised weights share: rows of activations, and an int8 output's value.
// Included once per instruction set, inside foreach_target.
#include "engine/kernels/cpu/activations-inl.h"
#include "engine/kernels/cpu/blocks-inl.h"
#include "engine/kernels/cpu/linear_tile-inl.h"

#if defined(PKV_KERNELS_CPU_QUANTIZED_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_QUANTIZED_ROWS_INL_H_
#undef PKV_KERNELS_CPU_QUANTIZED_ROWS_INL_H_
#else
#define PKV_KERNELS_CPU_QUANTIZED_ROWS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr Int kSpan = QuantizedRows::kSpan;

// A row of x as integers. 4-bit weights and blocks: words, and a scale for each span; for blocks with minima sums of
// words, 16 for each span. int8: words, or bytes where the processor multiplies those; one scale.
struct XRow {
  const std::byte* codes;
  const float* scales;
  Int8Row int8;
  const std::int32_t* columns;
  const float* values;
  const float* sums = nullptr;

  const Word* words() const { return reinterpret_cast<const Word*>(codes); }
  const std::int8_t* bytes() const { return reinterpret_cast<const std::int8_t*>(codes); }
};

Int codes_at_once(const quant::Matrix& m) { return m.in % 64 == 0 && m.block % 64 == 0 ? kMostCodes : 32; }

#if HWY_TARGET != HWY_SCALAR

// The same as quant::round_as_ggml.
HWY_NOINLINE void rounded_as_ggml(const float* x, Int n, bool wide, float* to) {
  const Floats d;
  const Int block = wide ? 256 : 32;
  for (Int k = 0; k < n; k += block) {
    const float most = most_of(x + k, block), factor = most > 0 ? 127 / most : std::isnan(most) ? kNaN : 0;
    const float scale = !wide ? to_float(to_f16(most / 127)) : most > 0 ? 1 / factor : 0;
    for (Int i = k; i < k + block; i += kLanes) {
      const Vec codes = hn::Round(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor)));
      hn::StoreU(hn::Mul(hn::Set(d, scale), codes), d, to + i);
    }
  }
}

// For blocks: as spans_of does it, in the order of their unpacked weights; and where these have minima the sums of the
// words that share one.
HWY_NOINLINE void block_spans_of(const float* row, bool as_ggml, const quant::Matrix& m, Word* codes, float* scales,
                                 float* sums) {
  constexpr float kTop = 16383, kLeast = 1e-30f;
  const Int least = between_minima(m.format);
  alignas(64) float coarse[kSpan];
  for (Int k = 0; k < m.in; k += kSpan, codes += kSpan, sums += 16) {
    const Int n = std::min(kSpan, m.in - k);
    const float* x = row + k;
    if (as_ggml) {
      rounded_as_ggml(x, n, m.traits().codes.weights == 256, coarse);
      x = coarse;
    }
    const float most = most_of(x, n);
    *scales++ = most / kTop;
    if (least > 0) std::fill(sums, sums + 16, 0.f);
    if (!(most >= kLeast)) {  // nothing, or not a number
      std::fill(codes, codes + n, Word{0});
      if (most < kLeast) scales[-1] = 0;
      continue;
    }
    round_all(x, n, kTop / most, codes);
    for (Int j = 0; least > 0 && j < n / least; ++j) {
      Int sum = 0;
      for (Int i = 0; i < least; ++i) sum += codes[j * least + i];
      sums[j] = static_cast<float>(sum);
    }
    if (!paired(m)) continue;
    for (Int c = 0; c + 64 <= n; c += 64) std::swap_ranges(codes + c + 16, codes + c + 32, codes + c + 32);
  }
}

#endif

template <bool kVnni>
XRow quantize_row(const Linear& a, const float* x, Int r, const QuantizedRows& rows, const std::uint8_t* flags) {
  const quant::Matrix& m = a.quantized;
  auto* scratch = a.scratch.as<std::byte>();
  auto* words = rows.codes<Word>(scratch, r);
  XRow row{reinterpret_cast<const std::byte*>(words), rows.scales(scratch, r), {}, nullptr, nullptr};
#if HWY_TARGET != HWY_SCALAR
  if (m.traits().scaling == quant::Scaling::inside) {
    row.sums = rows.sums(scratch, r);
    block_spans_of(x, a.as_ggml, m, words, rows.scales(scratch, r), rows.sums(scratch, r));
    return row;
  }
#endif
  if (m.traits().product == quant::Product::of_values) {
    const float unit = table_of(m.format).unit;
    if (codes_at_once(m) == 64) {
      spans_of<kMostCodes>(x, m.in, unit, words, rows.scales(scratch, r));
    } else {
      spans_of<32>(x, m.in, unit, words, rows.scales(scratch, r));
    }
    return row;
  }
  row.columns = rows.columns(scratch, r);
  row.values = rows.values(scratch, r);
  const auto codes = [&](auto* to) {
    row.int8 = codes_of(x, m.in, a.outlier_threshold, flags, to, rows.columns(scratch, r), rows.values(scratch, r));
    std::fill(to + m.in, to + ceil_div(m.in, 64) * 64, 0);
  };
  if constexpr (kVnni) {
    codes(rows.codes<std::int8_t>(scratch, r));
  } else {
    codes(words);
  }
  return row;
}

// The value of an int8 output from the sum of products of codes: outliers are added in the order of their columns.
HWY_INLINE float value_of(const quant::Matrix& m, Int o, const XRow& x, Int total) {
  const float scale = quant::scale_at(m.scales.as<const std::byte>(), o) / 127;
  const float sum = static_cast<float>(total) * (x.int8.scale * scale);
  if (x.int8.outliers == 0) return sum;
  const auto* w = m.codes.as<const std::int8_t>() + o * m.in;
  float rest = 0;
  for (Int i = 0; i < x.int8.outliers; ++i) rest = std::fma(x.values[i], static_cast<float>(w[x.columns[i]]), rest);
  return sum + rest * scale;
}

#if HWY_TARGET == HWY_AVX3

// sum + a * b, four neighbouring products added: a without sign, b with.
HWY_INLINE VecInts dot_bytes(VecInts sum, __m512i a, __m512i b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(a), "v"(b));
  return sum;
}

// The instruction wants one side without sign: weights become w + 128, and 128 times the sum of x is taken off again.
constexpr Int kOffset = 128;
HWY_INLINE __m512i lifted(__m512i w) { return _mm512_xor_si512(w, _mm512_set1_epi8(static_cast<char>(kOffset))); }
HWY_INLINE __m512i load_bytes(const void* p) { return _mm512_loadu_si512(p); }
HWY_INLINE __m512i load_first_bytes(Int count, const void* p) {
  return _mm512_maskz_loadu_epi8((std::uint64_t{1} << count) - 1, p);
}

#endif

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
