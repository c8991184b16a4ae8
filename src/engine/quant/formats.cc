#include "engine/quant/encodings.h"

namespace pkv::quant {

std::string_view name_of(Format format) {
  switch (format) {
    case Format::int8:
      return "int8";
    case Format::fp4:
      return "fp4";
    case Format::nf4:
      break;
  }
  return "nf4";
}

std::optional<Format> format_from_name(std::string_view name) {
  for (const Format format : {Format::int8, Format::fp4, Format::nf4}) {
    if (name == name_of(format)) return format;
  }
  return std::nullopt;
}

bool is_block_size(std::int64_t block) { return block >= 32 && block <= kMaxBlock && (block & (block - 1)) == 0; }

void encode(const View& from, const Matrix& to, std::int64_t first, std::int64_t count) {
  (to.format == Format::int8 ? encode_int8 : encode_four_bits)(from, to, first, count);
}

void decode(const Matrix& m, std::int64_t row, std::int64_t first, std::span<float> out) {
  if (m.format == Format::int8) return decode_int8(m, row, first, out);
  decode_four_bits(m, row * m.in + first, out);
}

}  // namespace pkv::quant
