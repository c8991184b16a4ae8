// Blocks of ggml, of which GGUF files are made: what each element stands for. A format is a struct made of where a
// block lies; element n of it is (n). Scales are fp16 inside the blocks and may lie unaligned. Products of scales and
// codes are exact in fp32; where a minimum is subtracted or added that rounds, once. So any order gives these bits. All
// is constexpr: code for GPUs may call it, too.
#pragma once

#include <bit>
#include <cstdint>

#include "engine/tensor/half.h"

namespace pkv::quant::ggml {

using Byte = std::uint8_t;

constexpr float half_at(const Byte* p) { return to_float(f16{static_cast<std::uint16_t>(p[0] | p[1] << 8)}); }
constexpr int low(Byte b) { return b & 15; }
constexpr int high(Byte b) { return b >> 4; }
constexpr int bits(int b, int shift, int mask) { return b >> shift & mask; }

// Two codes of 4 bits in a byte, element n < 16 in the lower half of byte n, n + 16 in the upper one.
constexpr int nibble(const Byte* codes, int n) { return n < 16 ? low(codes[n]) : high(codes[n - 16]); }

// Fours of 32 codes of 2 bits in 32 bytes.
constexpr int two_bits(const Byte* codes, int n) { return bits(codes[n / 128 * 32 + n % 32], n % 128 / 32 * 2, 3); }

// 8 scales and 8 minima of 6 bits in 12 bytes.
constexpr int scale_of_six(const Byte* s, int j) { return j < 4 ? s[j] & 63 : low(s[j + 4]) + 16 * (s[j - 4] >> 6); }
constexpr int minimum_of_six(const Byte* s, int j) { return j < 4 ? s[j + 4] & 63 : high(s[j + 4]) + 16 * (s[j] >> 6); }

// The fifth bit of element n is bit n of 4 bytes.
constexpr int fifth(const Byte* p, int n) { return bits(p[n / 8], n % 8, 1) * 16; }

// q4_k and q5_k: code n of 4 bits, and what it is part of.
constexpr int long_nibble(const Byte* codes, int n) {
  const Byte b = codes[n / 64 * 32 + n % 32];
  return n % 64 < 32 ? low(b) : high(b);
}

constexpr float uneven(int code) {
  constexpr std::int8_t kValues[]{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return static_cast<float>(kValues[code]);
}
constexpr float doubled(int code) {
  constexpr std::int8_t kValues[]{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  return static_cast<float>(kValues[code]);
}

// 2^(e - 128), half of what the exponent says: the values are doubled.
constexpr float power_of(Byte e) {
  return std::bit_cast<float>(e < 2 ? std::uint32_t{0x00200000} << e : static_cast<std::uint32_t>(e - 1) << 23);
}

// Half of an 8-bit float of 4 bits of exponent and 3 of fraction; the sign is not looked at.
constexpr float half_of_eight(Byte x) {
  if (x == 0x7f) return 0;
  const int exponent = x >> 3 & 15;
  const auto fraction = static_cast<float>(x & 7);
  if (exponent == 0) return fraction * 0x1p-10f;
  return (1 + fraction / 8) * std::bit_cast<float>(static_cast<std::uint32_t>(exponent - 8 + 127) << 23);
}

struct Q4_0 {
  static constexpr int kBytes = 18, kWeights = 32;
  const Byte* p;
  float d = half_at(p);
  constexpr float operator()(int n) const { return d * static_cast<float>(nibble(p + 2, n) - 8); }
};

struct Q4_1 {
  static constexpr int kBytes = 20, kWeights = 32;
  const Byte* p;
  float d = half_at(p), m = half_at(p + 2);
  constexpr float operator()(int n) const { return d * static_cast<float>(nibble(p + 4, n)) + m; }
};

struct Q5_0 {
  static constexpr int kBytes = 22, kWeights = 32;
  const Byte* p;
  float d = half_at(p);
  constexpr float operator()(int n) const { return d * static_cast<float>(nibble(p + 6, n) + fifth(p + 2, n) - 16); }
};

struct Q5_1 {
  static constexpr int kBytes = 24, kWeights = 32;
  const Byte* p;
  float d = half_at(p), m = half_at(p + 2);
  constexpr float operator()(int n) const { return d * static_cast<float>(nibble(p + 8, n) + fifth(p + 4, n)) + m; }
};

struct Q8_0 {
  static constexpr int kBytes = 34, kWeights = 32;
  const Byte* p;
  float d = half_at(p);
  constexpr float operator()(int n) const { return d * static_cast<float>(static_cast<std::int8_t>(p[2 + n])); }
};

struct Q2_K {
  static constexpr int kBytes = 84, kWeights = 256;
  const Byte* p;
  float d = half_at(p + 80), least = half_at(p + 82);
  constexpr float operator()(int n) const {
    const float scale = d * static_cast<float>(low(p[n / 16]));
    return scale * static_cast<float>(two_bits(p + 16, n)) - least * static_cast<float>(high(p[n / 16]));
  }
};

struct Q3_K {
  static constexpr int kBytes = 110, kWeights = 256;
  const Byte* p;
  float d = half_at(p + 108);
  constexpr float operator()(int n) const {
    const Byte* s = p + 96;
    const int j = n / 16, scale = (j < 8 ? low(s[j]) : high(s[j - 8])) + 16 * bits(s[8 + j % 4], j / 4 * 2, 3);
    const int code = two_bits(p + 32, n) - (bits(p[n % 32], n / 32, 1) == 1 ? 0 : 4);
    return d * static_cast<float>(scale - 32) * static_cast<float>(code);
  }
};

// What scales and minima of 6 bits make of a code.
struct OfSix {
  const Byte* p;
  float d = half_at(p), least = half_at(p + 2);
  constexpr float value(int n, int code) const {
    const float scale = d * static_cast<float>(scale_of_six(p + 4, n / 32));
    return scale * static_cast<float>(code) - least * static_cast<float>(minimum_of_six(p + 4, n / 32));
  }
};

struct Q4_K : OfSix {
  static constexpr int kBytes = 144, kWeights = 256;
  constexpr float operator()(int n) const { return value(n, long_nibble(p + 16, n)); }
};

struct Q5_K : OfSix {
  static constexpr int kBytes = 176, kWeights = 256;
  constexpr float operator()(int n) const {
    return value(n, long_nibble(p + 48, n) + 16 * bits(p[16 + n % 32], n / 32, 1));
  }
};

struct Q6_K {
  static constexpr int kBytes = 210, kWeights = 256;
  const Byte* p;
  float d = half_at(p + 208);
  constexpr float operator()(int n) const {
    const int half = n / 128, group = n % 128 / 32, i = n % 32;
    const Byte b = p[64 * half + 32 * (group & 1) + i];
    const int code = (group < 2 ? low(b) : high(b)) + 16 * bits(p[128 + 32 * half + i], 2 * group, 3);
    return d * static_cast<float>(static_cast<std::int8_t>(p[192 + n / 16])) * static_cast<float>(code - 32);
  }
};

struct Iq4Nl {
  static constexpr int kBytes = 18, kWeights = 32;
  const Byte* p;
  float d = half_at(p);
  constexpr float operator()(int n) const { return d * uneven(nibble(p + 2, n)); }
};

struct Iq4Xs {
  static constexpr int kBytes = 136, kWeights = 256;
  const Byte* p;
  float d = half_at(p);
  constexpr float operator()(int n) const {
    const int upper = p[2] | p[3] << 8;
    const int j = n / 32, scale = bits(p[4 + j / 2], j % 2 * 4, 15) + 16 * bits(upper, 2 * j, 3);
    return d * static_cast<float>(scale - 32) * uneven(nibble(p + 8 + 16 * j, n % 32));
  }
};

struct Mxfp4 {
  static constexpr int kBytes = 17, kWeights = 32;
  const Byte* p;
  float d = power_of(p[0]);
  constexpr float operator()(int n) const { return d * doubled(nibble(p + 1, n)); }
};

struct Nvfp4 {
  static constexpr int kBytes = 36, kWeights = 64;
  const Byte* p;
  constexpr float operator()(int n) const {
    const Byte b = p[4 + n / 16 * 8 + n % 8];
    return half_of_eight(p[n / 16]) * doubled(n % 16 < 8 ? low(b) : high(b));
  }
};

// Five codes of 3 values in a byte: b * 3^k without its carry, as a fraction of 256.
struct Tq1_0 {
  static constexpr int kBytes = 54, kWeights = 256;
  const Byte* p;
  float d = half_at(p + 52);
  constexpr int code(int byte, int k) const {
    constexpr Byte kPowers[] = {1, 3, 9, 27, 81};
    return (static_cast<Byte>(p[byte] * kPowers[k]) * 3 >> 8) - 1;
  }
  constexpr float operator()(int n) const {
    const int c = n < 160   ? code(n % 32, n / 32)
                  : n < 240 ? code(32 + (n - 160) % 16, (n - 160) / 16)
                            : code(48 + (n - 240) % 4, (n - 240) / 4);
    return d * static_cast<float>(c);
  }
};

struct Tq2_0 {
  static constexpr int kBytes = 66, kWeights = 256;
  const Byte* p;
  float d = half_at(p + 64);
  constexpr float operator()(int n) const { return d * static_cast<float>(two_bits(p, n) - 1); }
};

}  // namespace pkv::quant::ggml
