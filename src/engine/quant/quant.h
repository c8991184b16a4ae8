// The door of room quant: the 8 and 4 bit formats of weights as bitsandbytes defines them (checked against it in
// tests/golden/quant). What the numbers mean, how they lie in memory, and how they are made; plain loops, no devices.
//
//   fp4, nf4  blocks of `block` elements of the flattened matrix (they may cross rows): a 4-bit code each, two in a
//             byte, the first in the high half; one fp32 scale a block, the largest magnitude in it.
//   int8      rows: an 8-bit code each, one fp32 scale a row, its largest magnitude: value = code * scale / 127. The
//             rows of activations are quantised as well when they meet such a matrix: see `Activations`.
//
// Sources: T. Dettmers et al., LLM.int8() (2022) and QLoRA (2023); bitsandbytes 0.39 to 0.50.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/tensor/element.h"
#include "engine/tensor/view.h"

namespace pkv::quant {

enum class Format : std::uint8_t { int8, fp4, nf4 };
std::string_view name_of(Format format);  // "nf4"
std::optional<Format> format_from_name(std::string_view name);

constexpr std::int64_t kDefaultBlock = 64, kMaxBlock = 4096;
bool is_block_size(std::int64_t block);  // 32, 64, 128, ..., kMaxBlock

// A quantised matrix [out, in]. Borrows its memory.
struct Matrix {
  Format format = Format::nf4;
  std::int64_t out = 0, in = 0;
  std::int64_t block = kDefaultBlock;  // 4 bits only
  DType decoded = DType::f32;          // 4 bits only: values are rounded to fp32, fp16 or bf16 once decoded
  View codes;                          // int8 [out, in], dense; or uint8 [code_bytes]
  View scales;                         // fp32 [out]; or fp32 [blocks]

  explicit operator bool() const { return static_cast<bool>(codes); }
  std::int64_t elements() const { return out * in; }
  std::int64_t blocks() const { return (elements() + block - 1) / block; }
  std::int64_t scale_count() const { return format == Format::int8 ? out : blocks(); }
  std::size_t code_bytes() const {
    return static_cast<std::size_t>(format == Format::int8 ? elements() : (elements() + 1) / 2);
  }
  std::size_t scale_bytes() const { return static_cast<std::size_t>(scale_count()) * sizeof(float); }
  // What can be encoded independently: rows of int8; else blocks.
  std::int64_t units() const { return scale_count(); }
};

// Scale i of a matrix: those of a stored one may lie unaligned in their file.
inline float scale_at(const std::byte* scales, std::int64_t i) { return load_element<float>(scales, i); }

// The value of each code with a scale of 1. fp4: code 8 is -0.
const std::array<float, 16>& code_values(Format format);

// What a normalised value must exceed to get the next code up, ascending: values of nf4, magnitudes of fp4. nf4's codes
// count the steps exceeded; fp4's are kFp4Codes of that count, | 8 when negative.
std::span<const float> code_steps(Format format);
constexpr std::array<std::uint8_t, 8> kFp4Codes{0, 1, 6, 7, 4, 5, 2, 3};

// Encodes units [first, first + count) of `to` from `from` [out, in]: fp32, fp16 or bf16, dense, perhaps unaligned.
// int8 rounds to fp16 first. No format holds NaN or infinity: what becomes of them, and of what shares a scale with an
// infinity, is defined and of no use.
void encode(const View& from, const Matrix& to, std::int64_t first, std::int64_t count);

// out[i] = element (row, first + i), decoded.
void decode(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out);

// Double quantisation: the scales of a 4-bit matrix in 8 bits, in blocks of 256.
//   scale = map[code] * nested scale + offset
struct NestedScales {
  static constexpr std::int64_t kBlock = 256;
  std::vector<std::uint8_t> codes;  // [n]
  std::vector<float> scales;        // [ceil(n / 256)]
  float offset = 0;
};
NestedScales encode_scales(std::span<const float> scales);
void decode_scales(std::span<const std::uint8_t> codes, std::span<const float> scales, std::span<const float> map,
                   std::int64_t block, float offset, std::span<float> out);
const std::array<float, 256>& dynamic_map();  // the signed "dynamic" map, ascending

// A row of activations for an int8 matrix. Entries of magnitude >= `threshold` are outliers: they stay as they are, in
// 16 bits; the others get codes against the largest of them. All are rounded to fp16 first.
struct Activations {
  std::vector<std::int8_t> codes;     // [in], 0 where there is an outlier
  float scale = 0;                    // the largest magnitude that is no outlier: value = code * scale / 127
  std::vector<std::int32_t> columns;  // of outliers, ascending
  std::vector<float> values;          // theirs
};
// `among`: outlier columns given from outside ([in], not 0 where there is one), those of the whole call as bitsandbytes
// takes them; empty: this row's own.
Activations encode_activations(std::span<const float> x, float threshold, std::span<const std::uint8_t> among = {});

}  // namespace pkv::quant
