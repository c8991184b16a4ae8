// Weights of 4 bits as 16-bit integers. The values of a format's codes become integers of up to 15 bits, chosen so that
// their ratios are kept as well as possible (fp4: exactly; nf4: to 1 in 16,000 and better than fp16 keeps them).
// Included once per instruction set, inside foreach_target.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "engine/kernels/cpu/dots-inl.h"
#include "engine/kernels/kernels.h"

#if defined(PKV_KERNELS_CPU_FOUR_BITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_FOUR_BITS_INL_H_
#undef PKV_KERNELS_CPU_FOUR_BITS_INL_H_
#else
#define PKV_KERNELS_CPU_FOUR_BITS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

// Codes are unpacked C at a time: 64 where rows are whole multiples of it, else 32. Sums of C products are made before
// anything is rounded: each lane must stay below 2^31, so vectors of 4 lanes take 32 only.
constexpr Int kMostCodes = kWords >= 16 ? 64 : 32;

// Word i of C unpacked ones is of which element?
template <Int C>
constexpr Int element_at(Int i) {
  if constexpr (kWords == 1) {
    return i;
  } else if constexpr (kWords == 32) {  // the even ones, then the odd ones
    return i < C / 2 ? 2 * i : 2 * (i - C / 2) + 1;
  } else if constexpr (kWords == 16 && C == 32) {
    return 2 * (i / 16 * 8 + i % 8) + i % 16 / 8;
  } else {  // vectors: even elements of the lower halves of blocks, of the upper ones; odd ones likewise
    const Int v = i / kWords, block = i % kWords / 8;
    return 2 * (block * 16 + v % 2 * 8 + i % 8) + v / 2;
  }
}

// The format's values * 1 / unit, as integers.
struct WordTable {
  alignas(64) std::array<Word, 32> words;                 // twice
  alignas(64) std::array<std::uint8_t, 64> lower, upper;  // their bytes, four times
  float unit;
};

// The largest integer that the value 1 becomes: of those up to 2^14 the one that keeps ratios best.
Int best_factor(std::span<const float> values) {
  Int best = 0;
  double least = 1;
  for (Int f = 8192; f <= 16384; ++f) {
    double worst = 0;
    for (const float v : values) {
      const double exact = std::fabs(static_cast<double>(v)) * static_cast<double>(f);
      if (exact > 0) worst = std::max(worst, std::fabs(std::nearbyint(exact) - exact) / exact);
    }
    if (worst < least) least = worst, best = f;
  }
  return best;
}

WordTable make_table(quant::Format format) {
  WordTable t{};
  const std::span<const float> values = quant::code_values(format);
  const Int factor = best_factor(values);
  t.unit = 1 / static_cast<float>(factor);
  for (std::size_t i = 0; i < 64; ++i) {
    const auto word = static_cast<Word>(std::nearbyint(values[i % 16] * static_cast<float>(factor)));
    if (i < 32) t.words[i] = word;
    t.lower[i] = static_cast<std::uint8_t>(word & 0xff);
    t.upper[i] = static_cast<std::uint8_t>(word >> 8 & 0xff);
  }
  return t;
}

const WordTable& table_of(quant::Format format) {
  static const WordTable nf4 = make_table(quant::Format::nf4), fp4 = make_table(quant::Format::fp4);
  return format == quant::Format::nf4 ? nf4 : fp4;
}

template <Int C>
using Unpacked = VecWords[C / kWords];

#if HWY_TARGET == HWY_SCALAR

struct Unpacker {
  explicit Unpacker(const WordTable& table) : words(table.words.data()) {}
  template <Int C>
  HWY_INLINE void operator()(const std::uint8_t* p, Unpacked<C>& w) const {
    for (Int i = 0; i < C; ++i) w[i] = words[i % 2 == 0 ? p[i / 2] >> 4 : p[i / 2] & 15];
  }
  const Word* words;
};

#elif HWY_TARGET == HWY_AVX3

// A look-up of words takes the lowest 5 bits of its index; the table is there twice, so 4 of them count.
struct Unpacker {
  explicit Unpacker(const WordTable& table) : words{_mm512_load_si512(table.words.data())} {}
  template <Int C>
  HWY_INLINE void operator()(const std::uint8_t* p, Unpacked<C>& w) const {
    if constexpr (C == 64) {
      const __m512i odd = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
      w[0] = VecWords{_mm512_permutexvar_epi16(_mm512_srli_epi16(odd, 4), words)};
      w[1] = VecWords{_mm512_permutexvar_epi16(odd, words)};
    } else {
      const __m256i odd = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
      const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_srli_epi16(odd, 4)), odd, 1);
      w[0] = VecWords{_mm512_permutexvar_epi16(both, words)};
    }
  }
  __m512i words;
};

#else

// Look-ups give the lower and the upper bytes of words; interleaved they are the words.
struct Unpacker {
  using Bytes = hn::Repartition<std::uint8_t, Floats>;
  using VecBytes = hn::Vec<Bytes>;
  explicit Unpacker(const WordTable& table)
      : lower(hn::Load(Bytes(), table.lower.data())), upper(hn::Load(Bytes(), table.upper.data())) {}

  HWY_INLINE void look_up(VecBytes codes, VecWords& first, VecWords& second) const {
    const VecBytes l = hn::TableLookupBytes(lower, codes), u = hn::TableLookupBytes(upper, codes);
    first = hn::BitCast(Words(), hn::InterleaveLower(Bytes(), l, u));
    second = hn::BitCast(Words(), hn::InterleaveUpper(Bytes(), l, u));
  }
  template <Int C>
  HWY_INLINE void operator()(const std::uint8_t* p, Unpacked<C>& w) const {
    const Bytes d;
    const VecBytes mask = hn::Set(d, 15);
    const auto high = [&](VecBytes b) HWY_ATTR {
      return hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(Words(), b))), mask);
    };
    if constexpr (kWords == 16 && C == 32) {
      const hn::Half<Bytes> h;
      const auto b = hn::LoadU(h, p);
      const VecBytes twice = hn::Combine(d, b, b);
      look_up(hn::ConcatUpperLower(d, hn::And(twice, mask), high(twice)), w[0], w[1]);
    } else {
      const VecBytes b = hn::LoadU(d, p);
      look_up(high(b), w[0], w[1]);
      look_up(hn::And(b, mask), w[2], w[3]);
    }
  }
  VecBytes lower, upper;
};

#endif

// A row of 4-bit weights: its codes and the scales of its pieces.
struct FourBitRow {
  FourBitRow() = default;
  FourBitRow(const quant::Matrix& m, Int o)
      : codes(m.codes.as<const std::uint8_t>() + o * m.in / 2),
        scales(m.scales.as<const std::byte>()),
        first(o * m.in),
        shift(__builtin_ctzll(static_cast<unsigned long long>(m.block))) {}
  // Of the block that element k is in.
  float scale(Int k) const { return quant::scale_at(scales, (first + k) >> shift); }
  const std::uint8_t* codes = nullptr;
  const std::byte* scales = nullptr;
  Int first = 0;
  int shift = 0;
};

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
