// Weights in ggml's blocks as 16-bit integers, exactly: a weight is scale * integer - minimum, where the integers of
// superblocks have their scales of 4 to 8 bits in them already (at most 4096). One unpacker a format; the kernels know
// only these. Included once per instruction set, inside foreach_target.
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "engine/kernels/cpu/dots-inl.h"
#include "engine/kernels/kernels.h"

#if defined(PKV_KERNELS_CPU_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PKV_KERNELS_CPU_BLOCKS_INL_H_
#undef PKV_KERNELS_CPU_BLOCKS_INL_H_
#else
#define PKV_KERNELS_CPU_BLOCKS_INL_H_
#endif

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

// What up to 256 weights of a row are scaled by.
struct SpanScales {
  alignas(64) float scale[8];        // of each 32; of a superblock: the first
  alignas(64) float least[16] = {};  // what is subtracted, of each 32 or 16
  alignas(64) Word sub[16];          // of superblocks: integer scales, of each 16; or of each 32, twice
};

// Sums of products of 14 bits with 4096 and less stay below 2^31 in each lane up to here.
constexpr Int kSuper = kLanes >= 8 ? 256 : 128;
constexpr Int kHalves = 64 / kWords / 2;  // vectors of 32 words

// 64 weights as words. Superblocks: in order. Blocks of 32: in order, but for vectors of 32, whose halves belong to two
// blocks: the first halves of both, then the second ones.
using Unpacked64 = VecWords[2 * kHalves];
constexpr bool kPaired = kWords == 32;

using Run = hn::Rebind<std::uint8_t, Words>;  // as many bytes
using Sixteen = hn::Full128<std::uint8_t>;
using SignedSixteen = hn::Full128<std::int8_t>;
using VecSixteen = hn::Vec<Sixteen>;
using VecSigned = hn::Vec<SignedSixteen>;

HWY_INLINE VecWords bytes_at(const std::uint8_t* p) { return hn::PromoteTo(Words(), hn::LoadU(Run(), p)); }
HWY_INLINE VecWords masked(VecWords v, Word mask) { return hn::And(v, hn::Set(Words(), mask)); }
template <int kShift>
HWY_INLINE VecWords shifted(VecWords v) {
  if constexpr (kShift >= 0) {
    return hn::ShiftLeft<kShift>(v);
  } else {
    return hn::ShiftRight<-kShift>(v);
  }
}

HWY_INLINE float half_at(const std::uint8_t* p) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return _cvtsh_ss(bits);
#else
  f16 half;
  std::memcpy(&half, p, sizeof half);
  return to_float(half);
#endif
}

// Scales that lie `step` bytes apart; zeros behind the last.
HWY_INLINE void halves_at(const std::uint8_t* p, Int step, Int count, float* to) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  if (count == 8) {
    const auto at = [&](Int i) HWY_ATTR {
      std::int16_t bits;
      std::memcpy(&bits, p + i * step, sizeof bits);
      return bits;
    };
    _mm256_store_ps(to, _mm256_cvtph_ps(_mm_set_epi16(at(7), at(6), at(5), at(4), at(3), at(2), at(1), at(0))));
    return;
  }
#endif
  for (Int i = 0; i < 8; ++i) to[i] = i < count ? half_at(p + i * step) : 0;
}

HWY_INLINE std::uint32_t four_bytes(const std::uint8_t* p) {
  std::uint32_t four;
  std::memcpy(&four, p, sizeof four);
  return four;
}

HWY_INLINE VecSixteen sixteen_of(std::uint64_t lower, std::uint64_t upper) {
  const hn::Full64<std::uint64_t> d;
  return hn::BitCast(Sixteen(), hn::Combine(hn::Full128<std::uint64_t>(), hn::Set(d, upper), hn::Set(d, lower)));
}

// to[i] = words of bytes.
HWY_INLINE void store_sixteen(VecSigned bytes, Word* to) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  // In one piece, or what is read of it soon would have to wait.
  _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm256_cvtepi8_epi16(bytes.raw));
#else
  const hn::Full128<Word> d;
  hn::Store(hn::PromoteTo(d, hn::LowerHalf(bytes)), d, to);
  hn::Store(hn::PromoteTo(d, hn::UpperHalf(hn::Half<SignedSixteen>(), bytes)), d, to + 8);
#endif
}

// to[i] = factor * bytes[i].
HWY_INLINE void store_scaled(VecSixteen bytes, float factor, float* to) {
  const Floats d;
#if HWY_TARGET == HWY_AVX3
  hn::Store(hn::Mul(hn::ConvertTo(d, hn::PromoteTo(Integers(), bytes)), hn::Set(d, factor)), d, to);
#else
  alignas(16) std::uint8_t each[16];
  hn::Store(bytes, Sixteen(), each);
  for (Int i = 0; i < 16; i += kLanes) {
    const auto ints = hn::PromoteTo(Integers(), hn::LoadU(hn::Rebind<std::uint8_t, Integers>(), each + i));
    hn::Store(hn::Mul(hn::ConvertTo(d, ints), hn::Set(d, factor)), d, to + i);
  }
#endif
}

// 32 bytes in two halves, as words in order.
HWY_INLINE void words_in_order(VecSigned first, VecSigned second, VecWords* w) {
#if HWY_TARGET == HWY_AVX3
  w[0] = hn::PromoteTo(Words(), hn::Combine(hn::Rebind<std::int8_t, Words>(), second, first));
#elif HWY_TARGET == HWY_AVX2
  w[0] = hn::PromoteTo(Words(), first);
  w[1] = hn::PromoteTo(Words(), second);
#else
  const hn::Half<SignedSixteen> h;
  w[0] = hn::PromoteTo(Words(), hn::LowerHalf(first));
  w[1] = hn::PromoteTo(Words(), hn::UpperHalf(h, first));
  w[2] = hn::PromoteTo(Words(), hn::LowerHalf(second));
  w[3] = hn::PromoteTo(Words(), hn::UpperHalf(h, second));
#endif
}

#if HWY_TARGET == HWY_AVX3

// Lane l of vector i: place 2 i + l / 16 of sixteen words, 2 i + l / 8 of sixteen floats.
struct Places {
  alignas(64) Word words[8][32];
  alignas(64) std::int32_t floats[8][16];
};
constexpr Places make_places() {
  Places p{};
  for (int i = 0; i < 8; ++i) {
    for (int l = 0; l < 32; ++l) p.words[i][l] = static_cast<Word>(2 * i + l / 16);
    for (int l = 0; l < 16; ++l) p.floats[i][l] = 2 * i + l / 8;
  }
  return p;
}
constexpr Places kPlaces = make_places();

#endif

// Vector i of the 32 words from weight `first` on, times the scale of its 16, or of each of its two.
HWY_INLINE VecWords times_of_16(VecWords v, const Word* sub, Int first, [[maybe_unused]] Int i) {
#if HWY_TARGET == HWY_AVX3
  const __m512i all = _mm512_castsi256_si512(_mm256_load_si256(reinterpret_cast<const __m256i*>(sub)));
  return hn::Mul(v, VecWords{_mm512_permutexvar_epi16(_mm512_load_si512(kPlaces.words[first / 32]), all)});
#else
  return hn::Mul(v, hn::Set(Words(), sub[first / 16 + i * kWords / 16]));
#endif
}

// 32 words from weight `first` on, times their scale, which is there twice.
HWY_INLINE VecWords times_of_32(VecWords v, const Word* sub, Int first) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  std::int32_t two;
  std::memcpy(&two, sub + first / 16, sizeof two);
  return hn::Mul(v, hn::BitCast(Words(), hn::Set(Integers(), two)));
#else
  return hn::Mul(v, hn::Set(Words(), sub[first / 16]));
#endif
}

// Blocks of 32 have `codes`: 32 signed bytes of a block in two halves. Superblocks have `unpack<J>`: weights [64 J,
// 64 J + 64). Both have `scales`, of the blocks of a span.

// Q4_0, Q4_1, IQ4_NL, MXFP4: 16 bytes of two codes each, and a value for each code.
struct Nibbles {
  static constexpr bool kSuperblocks = false;
  // `least`: the value of code 0, where those of the others follow.
  Nibbles(Int block, Int first, Int least, std::span<const float> values = {}) : bytes(block), at(first) {
    alignas(16) std::int8_t each[16];
    for (Int i = 0; i < 16; ++i) {
      each[i] =
          static_cast<std::int8_t>(values.empty() ? least + i : static_cast<Int>(values[static_cast<std::size_t>(i)]));
    }
    table = hn::Load(SignedSixteen(), each);
  }
  HWY_INLINE void scales(const std::uint8_t* p, Int count, SpanScales& s) const {
    if (at == 1) {  // MXFP4: 8 bits of exponent, of half the scale
      for (Int i = 0; i < 8; ++i) {
        const std::uint32_t e = i < count ? p[i * bytes] : 0;
        const std::uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
        std::memcpy(s.scale + i, &bits, sizeof bits);
      }
      return;
    }
    halves_at(p, bytes, count, s.scale);
    if (at != 4) return;
    halves_at(p + 2, bytes, count, s.least);
    for (Int i = 0; i < 8; ++i) s.least[i] = -s.least[i];
  }
  HWY_INLINE void codes(const std::uint8_t* block, VecSigned& first, VecSigned& second) const {
    const VecSixteen v = hn::LoadU(Sixteen(), block + at);
    first = hn::TableLookupBytes(table, hn::BitCast(SignedSixteen(), hn::And(v, hn::Set(Sixteen(), 15))));
    second = hn::TableLookupBytes(table, hn::BitCast(SignedSixteen(), hn::ShiftRight<4>(v)));
  }
#if HWY_TARGET == HWY_AVX3
  HWY_INLINE void two_blocks(const std::uint8_t* block, Unpacked64& w) const {
    const hn::Full256<std::uint8_t> d;
    const auto v = hn::Combine(d, hn::LoadU(Sixteen(), block + bytes + at), hn::LoadU(Sixteen(), block + at));
    const __m256i values = _mm256_broadcastsi128_si256(table.raw);
    const __m256i lower = _mm256_shuffle_epi8(values, hn::And(v, hn::Set(d, 15)).raw);
    w[0] = VecWords{_mm512_cvtepi8_epi16(lower)};
    w[1] = VecWords{_mm512_cvtepi8_epi16(_mm256_shuffle_epi8(values, hn::ShiftRight<4>(v).raw))};
  }
#endif
  Int bytes, at;  // the codes behind 1, 2 or 4 bytes: an exponent, a scale, a scale and a minimum
  VecSigned table;
};

// Q5_0, Q5_1: a fifth bit apart. Q5_0's codes count from -16.
struct Fives {
  static constexpr bool kSuperblocks = false;
  explicit Fives(bool has_minimum) : bytes(has_minimum ? 24 : 22), at(has_minimum ? 4 : 2), minimum(has_minimum) {}
  HWY_INLINE void scales(const std::uint8_t* p, Int count, SpanScales& s) const {
    halves_at(p, bytes, count, s.scale);
    if (!minimum) return;
    halves_at(p + 2, bytes, count, s.least);
    for (Int i = 0; i < 8; ++i) s.least[i] = -s.least[i];
  }
  HWY_INLINE void codes(const std::uint8_t* block, VecSigned& first, VecSigned& second) const {
    const Sixteen d;
    const VecSixteen fifth = hn::BitCast(d, hn::Set(hn::Full128<std::uint32_t>(), four_bytes(block + at)));
    const VecSixteen bit = hn::BitCast(d, hn::Set(hn::Full128<std::uint64_t>(), 0x8040201008040201u));
    const VecSixteen set = hn::Set(d, minimum ? 16 : 0), unset = hn::Set(d, minimum ? 0 : 0xf0);
    const auto with = [&](VecSixteen v, std::uint64_t one) HWY_ATTR {  // 8 elements by byte `one` of the fifths
      const VecSixteen of = sixteen_of(one * 0x0101010101010101u, (one + 1) * 0x0101010101010101u);
      const VecSixteen mine = hn::And(hn::TableLookupBytes(fifth, of), bit);
      return hn::BitCast(SignedSixteen(), hn::Or(v, hn::IfThenElse(hn::Eq(mine, bit), set, unset)));
    };
    const VecSixteen v = hn::LoadU(d, block + at + 4);
    first = with(hn::And(v, hn::Set(d, 15)), 0);
    second = with(hn::ShiftRight<4>(v), 2);
  }
  Int bytes, at;
  bool minimum;
};

struct Eights {  // Q8_0
  static constexpr bool kSuperblocks = false;
  static constexpr Int bytes = 34;
  HWY_INLINE void scales(const std::uint8_t* p, Int count, SpanScales& s) const { halves_at(p, bytes, count, s.scale); }
  HWY_INLINE void codes(const std::uint8_t* block, VecSigned& first, VecSigned& second) const {
    const auto* p = reinterpret_cast<const std::int8_t*>(block + 2);
    first = hn::LoadU(SignedSixteen(), p);
    second = hn::LoadU(SignedSixteen(), p + 16);
  }
};

// Q4_K, Q5_K: eight scales and minima of 6 bits in 12 bytes.
template <bool kFive>
struct SixBitScales {
  static constexpr bool kSuperblocks = true;
  static constexpr Int bytes = kFive ? 176 : 144, kCodes = kFive ? 48 : 16;
  HWY_INLINE void scales(const std::uint8_t* p, Int, SpanScales& s) const {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
    constexpr int kSix = 0x3f3f3f3f, kFour = 0x0f0f0f0f, kUpper = 0x30303030;
    // Words of 32 bits: scale and minimum, the three of their bytes.
    const __m128i head = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i ab = _mm_srlv_epi32(_mm_shuffle_epi32(head, 0x99), _mm_setr_epi32(0, 0, 2, 2));
    const __m128i c = _mm_srlv_epi32(_mm_shuffle_epi32(head, 0xff), _mm_setr_epi32(0, 0, 0, 4));
    const __m128i both = _mm_or_si128(_mm_and_si128(ab, _mm_setr_epi32(kSix, kSix, kUpper, kUpper)),
                                      _mm_and_si128(c, _mm_setr_epi32(0, 0, kFour, kFour)));
    // Scales are bytes 0 to 3 and 8 to 11 now, minima 4 to 7 and 12 to 15.
    const __m128i twice = _mm_shuffle_epi8(both, _mm_setr_epi8(0, 0, 1, 1, 2, 2, 3, 3, 8, 8, 9, 9, 10, 10, 11, 11));
    const __m128i minima = _mm_shuffle_epi32(both, 0x0d);
    const __m128 d = _mm_cvtph_ps(head);
    _mm_store_ss(s.scale, d);
    _mm256_store_si256(reinterpret_cast<__m256i*>(s.sub), _mm256_cvtepu8_epi16(twice));
    const __m256 least = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(minima));
    _mm256_store_ps(s.least, _mm256_mul_ps(least, _mm256_broadcastss_ps(_mm_movehdup_ps(d))));
#else
    const std::uint32_t a = four_bytes(p + 4), b = four_bytes(p + 8), c = four_bytes(p + 12);
    constexpr std::uint32_t kSix = 0x3f3f3f3f, kFour = 0x0f0f0f0f, kUpper = 0x30303030;
    const std::uint64_t scales_low = a & kSix, scales_high = (c & kFour) | (a >> 2 & kUpper);
    const std::uint64_t least_low = b & kSix, least_high = (c >> 4 & kFour) | (b >> 2 & kUpper);
    s.scale[0] = half_at(p);
    const VecSixteen once = sixteen_of(scales_low | scales_high << 32, 0);
    store_sixteen(hn::BitCast(SignedSixteen(), hn::InterleaveLower(Sixteen(), once, once)), s.sub);
    store_scaled(sixteen_of(least_low | least_high << 32, 0), half_at(p + 2), s.least);
#endif
  }
  template <int J>
  HWY_INLINE void unpack(const std::uint8_t* p, const SpanScales& s, Unpacked64& w) const {
    for (Int i = 0; i < kHalves; ++i) {
      const VecWords v = bytes_at(p + kCodes + 32 * J + i * kWords);
      VecWords first = masked(v, 15), second = shifted<-4>(v);
      if constexpr (kFive) {
        const VecWords fifth = bytes_at(p + 16 + i * kWords);
        first = hn::Or(first, masked(shifted<4 - 2 * J>(fifth), 16));
        second = hn::Or(second, masked(shifted<3 - 2 * J>(fifth), 16));
      }
      w[i] = times_of_32(first, s.sub, 64 * J);
      w[kHalves + i] = times_of_32(second, s.sub, 64 * J + 32);
    }
  }
};

struct Sixes {  // Q6_K
  static constexpr bool kSuperblocks = true;
  static constexpr Int bytes = 210;
  HWY_INLINE void scales(const std::uint8_t* p, Int, SpanScales& s) const {
    s.scale[0] = half_at(p + 208);
    store_sixteen(hn::LoadU(SignedSixteen(), reinterpret_cast<const std::int8_t*>(p + 192)), s.sub);
  }
  template <int J>
  HWY_INLINE void unpack(const std::uint8_t* p, const SpanScales& s, Unpacked64& w) const {
    constexpr int kShift = J % 2 == 0 ? 4 : 0;
    const VecWords offset = hn::Set(Words(), 32);
    for (Int i = 0; i < kHalves; ++i) {
      const std::uint8_t* lower = p + 64 * (J / 2) + i * kWords;
      const VecWords a = bytes_at(lower), b = bytes_at(lower + 32);
      const VecWords upper = bytes_at(p + 128 + 32 * (J / 2) + i * kWords);
      const VecWords first = J % 2 == 0 ? masked(a, 15) : shifted<-4>(a);
      const VecWords second = J % 2 == 0 ? masked(b, 15) : shifted<-4>(b);
      const VecWords one = hn::Or(first, masked(shifted<kShift>(upper), 48));
      const VecWords two = hn::Or(second, masked(shifted<kShift - 2>(upper), 48));
      w[i] = times_of_16(hn::Sub(one, offset), s.sub, 64 * J, i);
      w[kHalves + i] = times_of_16(hn::Sub(two, offset), s.sub, 64 * J + 32, i);
    }
  }
};

// Two of the four codes in each of 32 bytes: those of weights [64 J, 64 J + 32) and of the 32 behind them.
template <int J>
HWY_INLINE void two_bits(const std::uint8_t* codes, Int i, VecWords& first, VecWords& second) {
  const VecWords v = bytes_at(codes + 32 * (J / 2) + i * kWords);
  first = masked(shifted<-4 * (J % 2)>(v), 3);
  second = masked(shifted<-4 * (J % 2) - 2>(v), 3);
}

// Q2_K, and TQ2_0, whose codes count from -1.
struct Twos {
  static constexpr bool kSuperblocks = true;
  explicit Twos(bool is_ternary) : bytes(is_ternary ? 66 : 84), ternary(is_ternary) {}
  HWY_INLINE void scales(const std::uint8_t* p, Int, SpanScales& s) const {
    if (ternary) {
      s.scale[0] = half_at(p + 64);
      return store_sixteen(hn::Set(SignedSixteen(), 1), s.sub);
    }
    const VecSixteen both = hn::LoadU(Sixteen(), p);
    s.scale[0] = half_at(p + 80);
    store_sixteen(hn::BitCast(SignedSixteen(), hn::And(both, hn::Set(Sixteen(), 15))), s.sub);
    store_scaled(hn::ShiftRight<4>(both), half_at(p + 82), s.least);
  }
  template <int J>
  HWY_INLINE void unpack(const std::uint8_t* p, const SpanScales& s, Unpacked64& w) const {
    const VecWords offset = hn::Set(Words(), ternary ? 1 : 0);
    for (Int i = 0; i < kHalves; ++i) {
      VecWords first, second;
      two_bits<J>(p + (ternary ? 0 : 16), i, first, second);
      w[i] = times_of_16(hn::Sub(first, offset), s.sub, 64 * J, i);
      w[kHalves + i] = times_of_16(hn::Sub(second, offset), s.sub, 64 * J + 32, i);
    }
  }
  Int bytes;
  bool ternary;
};

struct Threes {  // Q3_K
  static constexpr bool kSuperblocks = true;
  static constexpr Int bytes = 110;
  HWY_INLINE void scales(const std::uint8_t* p, Int, SpanScales& s) const {
    const std::uint32_t a = four_bytes(p + 96), b = four_bytes(p + 100), c = four_bytes(p + 104);
    constexpr std::uint32_t kFour = 0x0f0f0f0f, kUpper = 0x30303030;
    const std::uint64_t w0 = (a & kFour) | (c << 4 & kUpper), w1 = (b & kFour) | (c << 2 & kUpper);
    const std::uint64_t w2 = (a >> 4 & kFour) | (c & kUpper), w3 = (b >> 4 & kFour) | (c >> 2 & kUpper);
    const VecSigned six = hn::BitCast(SignedSixteen(), sixteen_of(w0 | w1 << 32, w2 | w3 << 32));
    s.scale[0] = half_at(p + 108);
    store_sixteen(hn::Sub(six, hn::Set(SignedSixteen(), 32)), s.sub);
  }
  template <int J>
  HWY_INLINE void unpack(const std::uint8_t* p, const SpanScales& s, Unpacked64& w) const {
    const VecWords offset = hn::Set(Words(), 4);
    for (Int i = 0; i < kHalves; ++i) {
      const VecWords third = bytes_at(p + i * kWords);
      VecWords first, second;
      two_bits<J>(p + 32, i, first, second);
      first = hn::Or(first, masked(shifted<2 - 2 * J>(third), 4));
      second = hn::Or(second, masked(shifted<1 - 2 * J>(third), 4));
      w[i] = times_of_16(hn::Sub(first, offset), s.sub, 64 * J, i);
      w[kHalves + i] = times_of_16(hn::Sub(second, offset), s.sub, 64 * J + 32, i);
    }
  }
};

// IQ4_XS: eight blocks of 32 as in IQ4_NL, with scales of 6 bits.
struct UnevenNibbles {
  static constexpr bool kSuperblocks = true;
  static constexpr Int bytes = 136;
  explicit UnevenNibbles(std::span<const float> values) : nibbles(bytes, 0, 0, values) {}
  HWY_INLINE void scales(const std::uint8_t* p, Int, SpanScales& s) const {
    const std::uint32_t lower = four_bytes(p + 4), upper = four_bytes(p) >> 16;
    s.scale[0] = half_at(p);
    for (Int j = 0; j < 8; ++j) {
      const std::uint32_t six = (lower >> 4 * j & 15) + 16 * (upper >> 2 * j & 3);
      s.sub[2 * j] = s.sub[2 * j + 1] = static_cast<Word>(static_cast<Int>(six) - 32);
    }
  }
  template <int J>
  HWY_INLINE void unpack(const std::uint8_t* p, const SpanScales& s, Unpacked64& w) const {
    for (Int j = 0; j < 2; ++j) {
      VecSigned first, second;
      nibbles.codes(p + 8 + 16 * (2 * J + j), first, second);
      words_in_order(first, second, w + kHalves * j);
      for (Int i = 0; i < kHalves; ++i) {
        w[kHalves * j + i] = times_of_32(w[kHalves * j + i], s.sub, 64 * J + 32 * j);
      }
    }
  }
  Nibbles nibbles;
};

// 64 weights of two blocks of 32.
template <class F>
HWY_INLINE void unpack_two(const F& f, const std::uint8_t* p, Unpacked64& w) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (std::is_same_v<F, Nibbles>) return f.two_blocks(p, w);
#endif
  VecSigned a, b, c, e;
  f.codes(p, a, b);
  f.codes(p + f.bytes, c, e);
  if constexpr (kPaired) {
    words_in_order(a, c, w);
    words_in_order(b, e, w + kHalves);
  } else {
    words_in_order(a, b, w);
    words_in_order(c, e, w + kHalves);
  }
}

// Scales of the lanes of the sums of blocks j and j + 1, whose halves lie side by side.
HWY_INLINE Vec pair_of(const float* scales, Int j) {
#if HWY_TARGET == HWY_AVX3
  const __m512i places = _mm512_load_si512(kPlaces.floats[j / 2]);
  return Vec{_mm512_permutexvar_ps(places, _mm512_castps256_ps512(_mm256_load_ps(scales)))};
#else
  return hn::Set(Floats(), scales[j]);
#endif
}

// Weights between two minima, 0 where there are none; whether words of two blocks lie side by side.
inline Int between_minima(quant::Format format) {
  using quant::Format;
  if (format == Format::q2_k) return 16;
  const bool any = format == Format::q4_1 || format == Format::q5_1 || format == Format::q4_k || format == Format::q5_k;
  return any ? 32 : 0;
}
inline bool paired(const quant::Matrix& m) { return kPaired && m.traits().codes.weights == 32; }

// Calls body(unpacker), if the format has one.
template <class Body>
bool with_unpacker(quant::Format format, const Body& body) {
  using quant::Format;
  switch (format) {
    case Format::q4_0:
      return body(Nibbles(18, 2, -8)), true;
    case Format::q4_1:
      return body(Nibbles(20, 4, 0)), true;
    case Format::iq4_nl:
      return body(Nibbles(18, 2, 0, quant::code_values(format))), true;
    case Format::mxfp4:
      return body(Nibbles(17, 1, 0, quant::code_values(format))), true;
    case Format::q5_0:
      return body(Fives(false)), true;
    case Format::q5_1:
      return body(Fives(true)), true;
    case Format::q8_0:
      return body(Eights()), true;
    case Format::q2_k:
      return body(Twos(false)), true;
    case Format::tq2_0:
      return body(Twos(true)), true;
    case Format::q3_k:
      return body(Threes()), true;
    case Format::q4_k:
      return body(SixBitScales<false>()), true;
    case Format::q5_k:
      return body(SixBitScales<true>()), true;
    case Format::q6_k:
      return body(Sixes()), true;
    case Format::iq4_xs:
      return body(UnevenNibbles(quant::code_values(format))), true;
    default:
      return false;
  }
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif
