// The list of formats: the one place where a format is registered.
#include <algorithm>
#include <iterator>

#include "engine/quant/encodings.h"

namespace pkv::quant {
namespace {

constexpr Format kFormats[] = {Format::int8,  Format::fp4,   Format::nf4,   Format::q4_0,   Format::q4_1,
                               Format::q5_0,  Format::q5_1,  Format::q8_0,  Format::q2_k,   Format::q3_k,
                               Format::q4_k,  Format::q5_k,  Format::q6_k,  Format::iq4_nl, Format::iq4_xs,
                               Format::mxfp4, Format::nvfp4, Format::tq1_0, Format::tq2_0};

// LLM.int8(): sums of products of codes stay below 2^31 up to that many columns.
constexpr Traits kInt8{.name = "int8",
                       .codes = {.bytes = 1, .weights = 1},
                       .code_dtype = DType::i8,
                       .scaling = Scaling::of_rows,
                       .product = Product::of_codes,
                       .nests = false,
                       .through = DType::f16,
                       .columns_multiple = 1,
                       .most_columns = std::int64_t{1} << 17,
                       .values = {},
                       .steps = {},
                       .encode = encode_int8,
                       .decode = decode_int8,
                       .decode_block = nullptr};

// QLoRA's formats; a vector of 32 codes lies in one block.
constexpr Traits four_bits(std::string_view name, std::span<const float> values, std::span<const float> steps,
                           decltype(Traits::encode) encode) {
  return {.name = name,
          .codes = {.bytes = 1, .weights = 2},
          .code_dtype = DType::u8,
          .scaling = Scaling::of_blocks,
          .product = Product::of_values,
          .nests = true,
          .through = DType::f32,
          .columns_multiple = 32,
          .most_columns = INT64_MAX,
          .values = values,
          .steps = steps,
          .encode = encode,
          .decode = decode_four_bits,
          .decode_block = nullptr};
}

// ggml's: a block holds its scales, and minima where there are any, beside its codes.
constexpr Traits blocks(std::string_view name, std::int64_t bytes, std::int64_t weights,
                        decltype(Traits::decode_block) decode, std::span<const float> values = {}) {
  return {.name = name,
          .codes = {.bytes = bytes, .weights = weights},
          .code_dtype = DType::u8,
          .scaling = Scaling::inside,
          .product = Product::of_values,
          .nests = false,
          .through = DType::f32,
          .columns_multiple = weights,
          .most_columns = INT64_MAX,
          .values = values,
          .steps = {},
          .encode = nullptr,
          .decode = decode_blocks,
          .decode_block = decode};
}

constexpr Traits kRows[] = {kInt8,
                            four_bits("fp4", kFp4Values, kFp4Steps, encode_fp4),
                            four_bits("nf4", kNf4Values, kNf4Steps, encode_nf4),
                            blocks("Q4_0", 18, 32, decode_q4_0),
                            blocks("Q4_1", 20, 32, decode_q4_1),
                            blocks("Q5_0", 22, 32, decode_q5_0),
                            blocks("Q5_1", 24, 32, decode_q5_1),
                            blocks("Q8_0", 34, 32, decode_q8_0),
                            blocks("Q2_K", 84, 256, decode_q2_k),
                            blocks("Q3_K", 110, 256, decode_q3_k),
                            blocks("Q4_K", 144, 256, decode_q4_k),
                            blocks("Q5_K", 176, 256, decode_q5_k),
                            blocks("Q6_K", 210, 256, decode_q6_k),
                            blocks("IQ4_NL", 18, 32, decode_iq4_nl, kIq4Values),
                            blocks("IQ4_XS", 136, 256, decode_iq4_xs, kIq4Values),
                            blocks("MXFP4", 17, 32, decode_mxfp4, kMxfp4Values),
                            blocks("NVFP4", 36, 64, decode_nvfp4),
                            blocks("TQ1_0", 54, 256, decode_tq1_0),
                            blocks("TQ2_0", 66, 256, decode_tq2_0)};
static_assert(std::size(kRows) == std::size(kFormats));

std::int64_t blocks_of(const BlockLayout& layout, std::int64_t elements) {
  return (elements + layout.weights - 1) / layout.weights;
}

}  // namespace

const Traits& traits(Format format) { return kRows[static_cast<std::size_t>(format)]; }
std::span<const Format> formats() { return kFormats; }

std::optional<Format> format_from_name(std::string_view name) {
  const auto* found = std::ranges::find(kRows, name, &Traits::name);
  if (found == std::end(kRows)) return std::nullopt;
  return static_cast<Format>(found - kRows);
}

BlockLayout layout_of(ElementType type) {
  if (const Format* format = std::get_if<Format>(&type)) return traits(*format).codes;
  return {.bytes = static_cast<std::int64_t>(size_of(std::get<DType>(type))), .weights = 1};
}

std::string_view name_of(ElementType type) {
  return std::visit([](auto one) { return name_of(one); }, type);
}

std::size_t bytes_of(ElementType type, std::int64_t elements) {
  const BlockLayout layout = layout_of(type);
  return static_cast<std::size_t>(blocks_of(layout, elements) * layout.bytes);
}

bool is_block_size(std::int64_t block) { return block >= 32 && block <= kMaxBlock && (block & (block - 1)) == 0; }

std::int64_t Matrix::scale_count() const { return traits().scaling == Scaling::inside ? 0 : units(); }

std::int64_t Matrix::units() const {
  switch (traits().scaling) {
    case Scaling::of_rows:
      return out;
    case Scaling::of_blocks:
      return blocks();
    case Scaling::inside:
      break;
  }
  return blocks_of(traits().codes, elements());
}

View Matrix::codes_in(const void* memory) const {
  if (traits().codes.weights == 1) return View(memory, traits().code_dtype, {out, in});
  return View(memory, traits().code_dtype, {static_cast<std::int64_t>(code_bytes())});
}

}  // namespace pkv::quant
