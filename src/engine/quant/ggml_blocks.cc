// Blocks of ggml, of which GGUF files are made: what each element stands for. Scales are fp16 inside the blocks and may
// lie unaligned. Products of scales and codes are exact in fp32; where a minimum is subtracted or added that rounds,
// once. So any order gives these bits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/quant/encodings.h"
#include "engine/tensor/element.h"

namespace pkv::quant {
using Byte = std::uint8_t;

namespace {

float half_at(const Byte* p) { return to_float(load_element<f16>(p, 0)); }
int low(Byte b) { return b & 15; }
int high(Byte b) { return b >> 4; }
int bits(int b, int shift, int mask) { return b >> shift & mask; }

// Two codes of 4 bits in a byte, element n < 16 in the lower half of byte n, n + 16 in the upper one.
int nibble(const Byte* codes, int n) { return n < 16 ? low(codes[n]) : high(codes[n - 16]); }

// Fours of 32 codes of 2 bits in 32 bytes.
int two_bits(const Byte* codes, int n) { return bits(codes[n / 128 * 32 + n % 32], n % 128 / 32 * 2, 3); }

// 8 scales and 8 minima of 6 bits in 12 bytes.
int scale_of_six(const Byte* s, int j) { return j < 4 ? s[j] & 63 : low(s[j + 4]) + 16 * (s[j - 4] >> 6); }
int minimum_of_six(const Byte* s, int j) { return j < 4 ? s[j + 4] & 63 : high(s[j + 4]) + 16 * (s[j] >> 6); }

template <class Value>
void fill(float* out, int count, const Value& value) {
  for (int n = 0; n < count; ++n) out[n] = value(n);
}

// The fifth bit of element n is bit n of 4 bytes.
int fifth(const Byte* p, int n) { return bits(p[n / 8], n % 8, 1) * 16; }

// q4_k and q5_k: code n of 4 bits, and what it is part of.
int long_nibble(const Byte* codes, int n) {
  const Byte b = codes[n / 64 * 32 + n % 32];
  return n % 64 < 32 ? low(b) : high(b);
}

template <class Code>
void fill_of_six(const Byte* p, float* out, const Code& code) {
  const float d = half_at(p), least = half_at(p + 2);
  fill(out, 256, [&](int n) {
    const float scale = d * static_cast<float>(scale_of_six(p + 4, n / 32));
    return scale * static_cast<float>(code(n)) - least * static_cast<float>(minimum_of_six(p + 4, n / 32));
  });
}

float uneven(int code) { return kIq4Values[static_cast<std::size_t>(code)]; }

float doubled(int code) { return kMxfp4Values[static_cast<std::size_t>(code)]; }

// 2^(e - 128), half of what the exponent says: the values are doubled.
float power_of(Byte e) {
  return std::bit_cast<float>(e < 2 ? std::uint32_t{0x00200000} << e : static_cast<std::uint32_t>(e - 1) << 23);
}

// Half of an 8-bit float of 4 bits of exponent and 3 of fraction; the sign is not looked at.
float half_of_eight(Byte x) {
  if (x == 0x7f) return 0;
  const int exponent = x >> 3 & 15;
  const auto fraction = static_cast<float>(x & 7);
  if (exponent == 0) return fraction * 0x1p-10f;
  return (1 + fraction / 8) * std::bit_cast<float>(static_cast<std::uint32_t>(exponent - 8 + 127) << 23);
}

}  // namespace

const std::array<float, 16> kIq4Values{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const std::array<float, 16> kMxfp4Values{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void decode_q4_0(const Byte* p, float* out) {
  const float d = half_at(p);
  fill(out, 32, [&](int n) { return d * static_cast<float>(nibble(p + 2, n) - 8); });
}

void decode_q4_1(const Byte* p, float* out) {
  const float d = half_at(p), m = half_at(p + 2);
  fill(out, 32, [&](int n) { return d * static_cast<float>(nibble(p + 4, n)) + m; });
}

void decode_q5_0(const Byte* p, float* out) {
  const float d = half_at(p);
  fill(out, 32, [&](int n) { return d * static_cast<float>(nibble(p + 6, n) + fifth(p + 2, n) - 16); });
}

void decode_q5_1(const Byte* p, float* out) {
  const float d = half_at(p), m = half_at(p + 2);
  fill(out, 32, [&](int n) { return d * static_cast<float>(nibble(p + 8, n) + fifth(p + 4, n)) + m; });
}

void decode_q8_0(const Byte* p, float* out) {
  const float d = half_at(p);
  fill(out, 32, [&](int n) { return d * static_cast<float>(static_cast<std::int8_t>(p[2 + n])); });
}

void decode_q2_k(const Byte* p, float* out) {
  const Byte *scales = p, *codes = p + 16;
  const float d = half_at(p + 80), least = half_at(p + 82);
  fill(out, 256, [&](int n) {
    const float scale = d * static_cast<float>(low(scales[n / 16]));
    return scale * static_cast<float>(two_bits(codes, n)) - least * static_cast<float>(high(scales[n / 16]));
  });
}

void decode_q3_k(const Byte* p, float* out) {
  const Byte *third = p, *codes = p + 32, *s = p + 96;
  const float d = half_at(p + 108);
  fill(out, 256, [&](int n) {
    const int j = n / 16, scale = (j < 8 ? low(s[j]) : high(s[j - 8])) + 16 * bits(s[8 + j % 4], j / 4 * 2, 3);
    const int code = two_bits(codes, n) - (bits(third[n % 32], n / 32, 1) == 1 ? 0 : 4);
    return d * static_cast<float>(scale - 32) * static_cast<float>(code);
  });
}

void decode_q4_k(const Byte* p, float* out) {
  fill_of_six(p, out, [&](int n) { return long_nibble(p + 16, n); });
}

void decode_q5_k(const Byte* p, float* out) {
  fill_of_six(p, out, [&](int n) { return long_nibble(p + 48, n) + 16 * bits(p[16 + n % 32], n / 32, 1); });
}

void decode_q6_k(const Byte* p, float* out) {
  const Byte *lower = p, *upper = p + 128, *scales = p + 192;
  const float d = half_at(p + 208);
  fill(out, 256, [&](int n) {
    const int half = n / 128, group = n % 128 / 32, i = n % 32;
    const Byte b = lower[64 * half + 32 * (group & 1) + i];
    const int code = (group < 2 ? low(b) : high(b)) + 16 * bits(upper[32 * half + i], 2 * group, 3);
    return d * static_cast<float>(static_cast<std::int8_t>(scales[n / 16])) * static_cast<float>(code - 32);
  });
}

void decode_iq4_nl(const Byte* p, float* out) {
  const float d = half_at(p);
  fill(out, 32, [&](int n) { return d * uneven(nibble(p + 2, n)); });
}

void decode_iq4_xs(const Byte* p, float* out) {
  const float d = half_at(p);
  const int upper = load_element<std::uint16_t>(p + 2, 0);
  fill(out, 256, [&](int n) {
    const int j = n / 32, scale = bits(p[4 + j / 2], j % 2 * 4, 15) + 16 * bits(upper, 2 * j, 3);
    return d * static_cast<float>(scale - 32) * uneven(nibble(p + 8 + 16 * j, n % 32));
  });
}

void decode_mxfp4(const Byte* p, float* out) {
  const float d = power_of(p[0]);
  fill(out, 32, [&](int n) { return d * doubled(nibble(p + 1, n)); });
}

void decode_nvfp4(const Byte* p, float* out) {
  fill(out, 64, [&](int n) {
    const Byte b = p[4 + n / 16 * 8 + n % 8];
    return half_of_eight(p[n / 16]) * doubled(n % 16 < 8 ? low(b) : high(b));
  });
}

// Five codes of 3 values in a byte: b * 3^k without its carry, as a fraction of 256.
void decode_tq1_0(const Byte* p, float* out) {
  constexpr Byte kPowers[] = {1, 3, 9, 27, 81};
  const float d = half_at(p + 52);
  const auto code = [&](int byte, int k) { return (static_cast<Byte>(p[byte] * kPowers[k]) * 3 >> 8) - 1; };
  fill(out, 256, [&](int n) {
    const int c = n < 160   ? code(n % 32, n / 32)
                  : n < 240 ? code(32 + (n - 160) % 16, (n - 160) / 16)
                            : code(48 + (n - 240) % 4, (n - 240) / 4);
    return d * static_cast<float>(c);
  });
}

void decode_tq2_0(const Byte* p, float* out) {
  const float d = half_at(p + 64);
  fill(out, 256, [&](int n) { return d * static_cast<float>(two_bits(p, n) - 1); });
}

// Of the first block and the last one a part may be asked for.
void decode_blocks(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out) {
  const Traits& t = m.traits();
  std::array<float, kMostInBlock> values;
  std::int64_t at = row * m.in + first;
  for (std::size_t done = 0; done < out.size();) {
    const std::int64_t from = at % t.codes.weights;
    const std::size_t n = std::min(out.size() - done, static_cast<std::size_t>(t.codes.weights - from));
    t.decode_block(m.codes.as<const Byte>() + at / t.codes.weights * t.codes.bytes, values.data());
    std::copy_n(values.begin() + from, n, out.begin() + static_cast<std::ptrdiff_t>(done));
    done += n;
    at += static_cast<std::int64_t>(n);
  }
}

// NaN and infinity make NaN of what shares their scale.
void round_as_ggml(Format weights, std::span<const float> x, std::span<float> out) {
  const bool wide = traits(weights).codes.weights == 256;
  const std::size_t block = wide ? 256 : 32;
  for (std::size_t k = 0; k < x.size(); k += block) {
    float most = 0;
    bool finite = true;
    for (std::size_t i = k; i < k + block; ++i) {
      most = std::max(most, std::fabs(x[i]));
      finite &= std::isfinite(x[i]);
    }
    const float factor = !finite ? std::numeric_limits<float>::quiet_NaN() : most > 0 ? 127 / most : 0;
    const float scale = !wide ? to_float(to_f16(most / 127)) : most > 0 ? 1 / factor : 0;
    for (std::size_t i = k; i < k + block; ++i) out[i] = scale * std::nearbyint(x[i] * factor);
  }
}

}  // namespace pkv::quant
