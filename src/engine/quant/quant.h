// The door of room quant: formats of quantised weights, a row of traits each (formats.cc); docs/adding-a-format.md.
// bitsandbytes or ggml define them (checked against both in tests/golden/quant). Plain loops, no devices.
//
//   fp4, nf4  blocks of `block` elements of the flattened matrix (they may cross rows): a 4-bit code each, two in a
//             byte, the first in the high half; one fp32 scale a block, the largest magnitude in it.
//   int8      rows: an 8-bit code each, one fp32 scale a row, its largest magnitude: value = code * scale / 127. The
//             rows of activations are quantised as well when they meet such a matrix: see `Activations`.
//   Q4_0, ...  blocks of 32 to 256 elements of a row, with their scales inside; decoded only (ggml.h).
//
// Sources: T. Dettmers et al., LLM.int8() (2022) and QLoRA (2023); bitsandbytes 0.39 to 0.50.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/tensor/element.h"
#include "engine/tensor/view.h"

namespace pkv::quant {

// Places in the list of rows.
enum class Format : std::uint8_t {
  int8,
  fp4,
  nf4,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  mxfp4,
  nvfp4,
  tq1_0,
  tq2_0
};

constexpr std::size_t kMostInBlock = 256;  // elements of a block, of any format

// `weights` elements in `bytes`: the memory of a matrix is a whole number of such blocks.
struct BlockLayout {
  std::int64_t bytes = 1, weights = 1;
};

// What shares a scale, and where scales lie.
enum class Scaling : std::uint8_t {
  of_rows,    // a row, one fp32 in Matrix::scales
  of_blocks,  // Matrix::block elements of the flattened matrix, one fp32 in Matrix::scales
  inside      // what a block of the codes says by itself (GGUF: scales, minima, superblocks); Matrix::scales is empty
};

// How a row of activations is multiplied by a matrix.
enum class Product : std::uint8_t {
  of_codes,  // the row becomes codes of 8 bits, too, with outliers apart: see Activations
  of_values  // by each code's value times its scale
};

struct Matrix;

// A format. Everything that is particular to it; nobody asks which format it is.
struct Traits {
  std::string_view name;  // "nf4"
  BlockLayout codes;      // of Matrix::codes: {1, 2} is two codes in a byte
  DType code_dtype;       // of Matrix::codes: i8 [out, in], u8 [code_bytes]
  Scaling scaling;
  Product product;
  bool nests;                     // its scales may be kept in 8 bits: NestedScales
  DType through;                  // weights are rounded to this dtype before they are encoded
  std::int64_t columns_multiple;  // `linear` takes matrices whose rows are a multiple of this long
  std::int64_t most_columns;      // and at most this long; 0: it takes none, and their decoded values are multiplied
  std::span<const float> values;  // of each code with a scale of 1; empty: the code itself
  std::span<const float> steps;   // see code_steps
  // Null: nobody makes matrices of this format, files hold them.
  void (*encode)(const View& from, const Matrix& to, std::int64_t first, std::int64_t count);
  void (*decode)(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out);
  // With Scaling::inside: codes.bytes bytes become codes.weights elements.
  void (*decode_block)(const std::uint8_t* block, float* out);

  bool has_blocks() const { return scaling == Scaling::of_blocks; }  // Matrix::block is a choice
};
const Traits& traits(Format format);
std::span<const Format> formats();  // all of them, in the order of the list

inline std::string_view name_of(Format format) { return traits(format).name; }  // "nf4"
std::optional<Format> format_from_name(std::string_view name);

// What a stored tensor is made of: elements of a dtype, or blocks of a format.
using ElementType = std::variant<DType, Format>;
BlockLayout layout_of(ElementType type);
std::string_view name_of(ElementType type);
// Bytes of that many elements, the last block filled up.
std::size_t bytes_of(ElementType type, std::int64_t elements);

constexpr std::int64_t kDefaultBlock = 64, kMaxBlock = 4096;
bool is_block_size(std::int64_t block);  // 32, 64, 128, ..., kMaxBlock

// A quantised matrix [out, in]. Borrows its memory.
struct Matrix {
  Format format = Format::nf4;
  std::int64_t out = 0, in = 0;
  std::int64_t block = kDefaultBlock;  // elements that share a scale, with Scaling::of_blocks
  DType decoded = DType::f32;          // 4 bits only: values are rounded to fp32, fp16 or bf16 once decoded
  View codes;                          // Traits::code_dtype [out, in] or [code_bytes], dense
  View scales;                         // fp32 [scale_count]

  explicit operator bool() const { return static_cast<bool>(codes); }
  std::int64_t elements() const { return out * in; }
  std::int64_t blocks() const { return (elements() + block - 1) / block; }
  const Traits& traits() const { return quant::traits(format); }
  std::int64_t scale_count() const;
  std::size_t code_bytes() const { return bytes_of(format, elements()); }
  std::size_t scale_bytes() const { return static_cast<std::size_t>(scale_count()) * sizeof(float); }
  std::size_t bytes() const { return code_bytes() + scale_bytes(); }
  // What can be encoded independently: what shares a scale.
  std::int64_t units() const;

  // `codes` and `scales` in memory of code_bytes() and scale_bytes().
  View codes_in(const void* memory) const;
  View scales_in(const void* memory) const { return View(memory, DType::f32, {scale_count()}); }
};

// Scale i of a matrix: those of a stored one may lie unaligned in their file.
inline float scale_at(const std::byte* scales, std::int64_t i) { return load_element<float>(scales, i); }

// The value of each code with a scale of 1. fp4: code 8 is -0.
inline std::span<const float> code_values(Format format) { return traits(format).values; }

// What a normalised value must exceed to get the next code up, ascending: values of nf4, magnitudes of fp4. nf4's codes
// count the steps exceeded; fp4's are kFp4Codes of that count, | 8 when negative.
inline std::span<const float> code_steps(Format format) { return traits(format).steps; }
constexpr std::array<std::uint8_t, 8> kFp4Codes{0, 1, 6, 7, 4, 5, 2, 3};

// Encodes units [first, first + count) of `to` from `from` [out, in]: fp32, fp16 or bf16, dense, perhaps unaligned.
// int8 rounds to fp16 first. No format holds NaN or infinity: what becomes of them, and of what shares a scale with an
// infinity, is defined and of no use.
inline void encode(const View& from, const Matrix& to, std::int64_t first, std::int64_t count) {
  to.traits().encode(from, to, first, count);
}

// out[i] = element (row, first + i), decoded.
inline void decode(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out) {
  m.traits().decode(m, row, first, out);
}

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

// A row of activations as ggml rounds it before a product by a matrix in one of its formats: to 8 bits of the largest of
// 32 with a scale in fp16 (Q8_0, Q8_1), or, where blocks have 256 weights, of the largest of 256 with a scale in fp32
// (Q8_K). x, out [n], n a whole number of such blocks; out may be x.
void round_as_ggml(Format weights, std::span<const float> x, std::span<float> out);

}  // namespace pkv::quant
