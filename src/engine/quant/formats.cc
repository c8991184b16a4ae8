// The list of formats: the one place where a format is registered.
#include <algorithm>
#include <iterator>

#include "engine/quant/encodings.h"

namespace pkv::quant {
namespace {

constexpr Format kFormats[] = {Format::int8, Format::fp4, Format::nf4};

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
                       .decode = decode_int8};

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
          .decode = decode_four_bits};
}

constexpr Traits kRows[] = {kInt8, four_bits("fp4", kFp4Values, kFp4Steps, encode_fp4),
                            four_bits("nf4", kNf4Values, kNf4Steps, encode_nf4)};
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
