// Matrices into quantised formats, while a model is loaded (room quant's definitions in vectors, bit for bit), and
// back.
#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/encode.cc"
#include "hwy/foreach_target.h"
//
#include <algorithm>
#include <limits>

#include "engine/kernels/cpu/lanes-inl.h"
#include "engine/kernels/cpu/table.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class D>
HWY_INLINE hn::Vec<D> flushed(D d, hn::Vec<D> x) {
  return hn::IfThenZeroElse(hn::Lt(hn::Abs(x), hn::Set(d, std::numeric_limits<float>::min())), x);
}

HWY_INLINE float flushed(float x) { return std::fabs(x) < std::numeric_limits<float>::min() ? 0.0f : x; }

template <class T>
HWY_INLINE void widen_all(const T* from, Int n, float* to) {
  for_lanes(n, [&](auto d, Int i) HWY_ATTR { hn::StoreU(flushed(d, widen(d, from + i)), d, to + i); });
}

HWY_INLINE float largest(const float* x, Int n) {
  const Floats d;
  Vec most = hn::Zero(d);
  Int i = 0;
  for (; i + kLanes <= n; i += kLanes) most = hn::Max(hn::Abs(hn::LoadU(d, x + i)), most);
  alignas(64) float lanes[kLanes];
  hn::Store(most, d, lanes);
  float top = *std::max_element(lanes, lanes + kLanes);
  for (; i < n; ++i) top = std::max(top, std::fabs(x[i]));
  return top;
}

// codes[i] = the code of the normalised value x[i].
template <bool kFp4>
HWY_INLINE void codes_of(std::span<const float> steps, const float* x, Int n, std::uint8_t* codes) {
  for_lanes(n, [&](auto d, Int i) HWY_ATTR {
    const hn::RebindToSigned<decltype(d)> whole;
    const hn::Rebind<std::uint8_t, decltype(d)> bytes;
    const auto v = hn::LoadU(d, x + i), value = kFp4 ? hn::Abs(v) : v;
    auto code = hn::Zero(whole);
    for (const float step : steps) {
      code = hn::Sub(code, hn::VecFromMask(whole, hn::RebindMask(whole, hn::Gt(value, hn::Set(d, step)))));
    }
    if constexpr (kFp4) {  // quant::kFp4Codes, by arithmetic
      const auto six = hn::Set(whole, 6), high = hn::Sub(hn::Set(whole, 8), hn::And(code, six));
      const auto sign = hn::VecFromMask(whole, hn::RebindMask(whole, hn::Lt(v, hn::Zero(d))));
      code = hn::Or(hn::Or(hn::And(code, hn::Set(whole, 1)), hn::And(high, six)), hn::And(sign, hn::Set(whole, 8)));
    }
    hn::StoreU(hn::DemoteTo(bytes, code), bytes, codes + i);
  });
}

// Two codes in a byte, the first in the high half.
HWY_INLINE void pack(const std::uint8_t* codes, Int pairs, std::uint8_t* out) {
  Int i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::Repartition<std::int16_t, Floats> words;
  const hn::Rebind<std::uint8_t, decltype(words)> bytes;
  constexpr Int kAtOnce = hn::MaxLanes(words);
  for (; i + kAtOnce <= pairs; i += kAtOnce) {
    const auto both = hn::LoadU(words, reinterpret_cast<const std::int16_t*>(codes + 2 * i));
    const auto packed = hn::And(hn::Or(hn::ShiftLeft<4>(both), hn::ShiftRight<8>(both)), hn::Set(words, 0xff));
    hn::StoreU(hn::DemoteTo(bytes, packed), bytes, out + i);
  }
#endif
  for (; i < pairs; ++i) out[i] = static_cast<std::uint8_t>(codes[2 * i] << 4 | codes[2 * i + 1]);
}

void encode_block(const float* from, Int count, quant::Format format, float* scale, std::uint8_t* out) {
  alignas(64) float x[quant::kMaxBlock];
  alignas(64) std::uint8_t codes[quant::kMaxBlock];
  const Int even = count + count % 2;
  const float most = largest(from, count);
  *scale = most;
  const float inverse = flushed(1.0f / most);
  for_lanes(count, [&](auto d, Int i) HWY_ATTR {
    hn::StoreU(flushed(d, hn::Mul(hn::LoadU(d, from + i), hn::Set(d, inverse))), d, x + i);
  });
  if (even > count) x[count] = flushed(0 * inverse);
  (format == quant::Format::fp4 ? codes_of<true> : codes_of<false>)(quant::code_steps(format), x, even, codes);
  pack(codes, even / 2, out);
}

template <class T>
void encode_blocks(const Encode& a, Int first, Int count) {
  alignas(64) float x[quant::kMaxBlock];
  const quant::Matrix& m = a.to;
  for (Int b = first; b < first + count; ++b) {
    const Int at = b * m.block, n = std::min(m.block, m.elements() - at);
    widen_all(a.from.as<const T>() + at, n, x);
    encode_block(x, n, m.format, m.scales.as<float>() + b, m.codes.as<std::uint8_t>() + at / 2);
  }
}

constexpr Int kAtOnce = 1024;

template <class T>
void encode_rows(const Encode& a, Int first, Int count) {
  const quant::Matrix& m = a.to;
  alignas(64) float x[kAtOnce];
  for (Int r = first; r < first + count; ++r) {
    const T* from = a.from.as<const T>() + r * m.in;
    float most = 0;
    for (Int k = 0; k < m.in; k += kAtOnce) {
      const Int n = std::min(kAtOnce, m.in - k);
      round_to_half(from + k, n, x);
      most = std::max(most, largest(x, n));
    }
    m.scales.as<float>()[r] = most;
    const float inverse = most > 0 ? 127.0f / most : 0.0f;
    for (Int k = 0; k < m.in; k += kAtOnce) {
      const Int n = std::min(kAtOnce, m.in - k);
      round_to_half(from + k, n, x);
      round_all(x, n, inverse, m.codes.as<std::int8_t>() + r * m.in + k);
    }
  }
}

template <class T>
void encode_of(const Encode& a, Int first, Int count) {
  switch (a.to.traits().scaling) {
    case quant::Scaling::of_rows:
      return encode_rows<T>(a, first, count);
    case quant::Scaling::of_blocks:
      return encode_blocks<T>(a, first, count);
    case quant::Scaling::inside:
      return quant::encode(a.from, a.to, first, count);  // no vectors for these yet
  }
}

void encode_units(const Encode& a, Int first, Int count) {
  if (a.from.dtype == DType::f16) return encode_of<f16>(a, first, count);
  if (a.from.dtype == DType::bf16) return encode_of<bf16>(a, first, count);
  encode_of<float>(a, first, count);
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(encode_units);
}

void encode(Device& device, const Encode& a) noexcept {
  constexpr std::int64_t kElements = 1 << 16;
  const std::int64_t units = a.to.units();
  const std::int64_t grain = std::max<std::int64_t>(1, kElements * units / std::max<std::int64_t>(a.to.elements(), 1));
  host::pool_of(device).parallel_for(ceil_div(units, grain), [&](std::int64_t i) noexcept {
    HWY_DYNAMIC_DISPATCH(encode_units)(a, i * grain, std::min(grain, units - i * grain));
  });
}

namespace {

void decode_row(const Decode& a, std::int64_t o) {
  constexpr std::int64_t kAtOnce = 1024;
  float values[kAtOnce];
  const std::int64_t n = a.from.in;
  for (std::int64_t first = 0; first < n; first += kAtOnce) {
    const std::int64_t count = std::min(kAtOnce, n - first);
    quant::decode(a.from, o, first, {values, static_cast<std::size_t>(count)});
    store_elements(a.to.rows(o, 1).columns(first, count).data, a.to.dtype, {values, static_cast<std::size_t>(count)});
  }
}

}  // namespace

void decode(Device& device, const Decode& a) noexcept {
  host::pool_of(device).parallel_for(a.from.out, [&](std::int64_t o) noexcept { decode_row(a, o); });
}

}  // namespace pkv::kernels::cpu
#endif
