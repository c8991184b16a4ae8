#include "engine/model/reader_values.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/tensor/element.h"

namespace pkv::model {
namespace {

double value_at(const containers::Tensor& t, std::int64_t i) {
  if (t.dtype == DType::f64) return load_element<double>(t.data.data(), i);
  return load_element(t.data.data(), t.dtype, i);
}

// Elements of `t`, taken as unsigned numbers, that lie in [least, least + count) without their sign.
template <class Bits>
std::int64_t count_bits(const containers::Tensor& t, Bits least, Bits count) {
  constexpr Bits kMagnitude = std::numeric_limits<Bits>::max() / 2;
  const std::int64_t n = t.view().elements();
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    found += static_cast<Bits>((load_element<Bits>(t.data.data(), i) & kMagnitude) - least) < count ? 1 : 0;
  }
  return found;
}

// Elements without their sign from `least` on, taken as unsigned numbers: with that of infinity, those that are none.
template <class Bits>
std::int64_t count_from(const containers::Tensor& t, Bits least) {
  return count_bits<Bits>(t, least, static_cast<Bits>(std::numeric_limits<Bits>::max() / 2 - least + 1));
}

}  // namespace

bool same_values(const containers::Tensor& a, const containers::Tensor& b) {
  if (a.shape != b.shape || a.format != b.format) return false;
  if (a.format) return std::ranges::equal(a.data, b.data);
  if (a.dtype == b.dtype && a.data.data() == b.data.data()) return true;
  constexpr std::int64_t kPiece = 1 << 14;
  const std::int64_t n = a.view().elements();
  for (std::int64_t at = 0; at < n; at += kPiece) {
    const std::int64_t count = std::min(kPiece, n - at);
    const std::size_t size = size_of(a.dtype);
    const auto first = static_cast<std::size_t>(at) * size, bytes = static_cast<std::size_t>(count) * size;
    if (a.dtype == b.dtype && std::memcmp(a.data.data() + first, b.data.data() + first, bytes) == 0) continue;
    for (std::int64_t i = at; i < at + count; ++i) {
      if (value_at(a, i) != value_at(b, i)) return false;
    }
  }
  return true;
}

DType dtype_to_compute_with(const containers::Tensor& t) { return t.dtype == DType::f64 ? DType::f32 : t.dtype; }

const Arrangement* arrangement_of(const Source& source, const containers::Tensor& tensor) {
  const auto* arranged = dynamic_cast<const Arranged*>(&source);
  return arranged == nullptr ? nullptr : arranged->arrangement_of(tensor);
}

const std::vector<std::int64_t>* moved_rows(const Arrangement* a) {
  return a == nullptr || a->rows.empty() ? nullptr : &a->rows;
}

Buffer in_order(const containers::Tensor& t, const std::vector<std::int64_t>& rows) {
  const std::size_t row = t.data.size() / rows.size();
  Buffer ordered(DType::u8, {static_cast<std::int64_t>(t.data.size())});
  std::byte* to = ordered.view().as<std::byte>();
  for (const std::int64_t from : rows) {
    std::memcpy(to, t.data.data() + static_cast<std::size_t>(from) * row, row);
    to += row;
  }
  return ordered;
}

View values_of(const containers::Tensor& t, const Arrangement* a, Buffer& copy) {
  const std::byte* data = t.data.data();
  Buffer ordered;
  if (const std::vector<std::int64_t>* rows = moved_rows(a)) {
    ordered = in_order(t, *rows);
    data = ordered.view().as<std::byte>();
  }
  if (t.dtype != DType::f64) {
    View values = t.view();
    values.data = const_cast<std::byte*>(data);
    copy = std::move(ordered);
    return values;
  }
  copy = Buffer(DType::f32, t.shape);
  std::int64_t i = 0;
  for (float& value : copy.span<float>()) value = static_cast<float>(load_element<double>(data, i++));
  return copy.view();
}

// fp16 ends at 65520, where rounding to it gives infinity, and 65536 is the next number that bf16 has.
std::int64_t count_beyond(const containers::Tensor& t, DType dtype) {
  if (t.dtype == DType::f64 && (dtype == DType::f16 || dtype == DType::f32)) {
    const double end = dtype == DType::f16 ? 65520. : std::ldexp(2. - std::ldexp(1., -24), 127);
    std::int64_t found = 0;
    for (std::int64_t i = 0, n = t.view().elements(); i < n; ++i) {
      const double value = std::abs(value_at(t, i));
      found += std::isfinite(value) && value >= end ? 1 : 0;
    }
    return found;
  }
  if (dtype != DType::f16) return 0;
  if (t.dtype == DType::f32) return count_bits<std::uint32_t>(t, 0x477ff000u, 0x7f800000u - 0x477ff000u);
  if (t.dtype == DType::bf16) return count_bits<std::uint16_t>(t, 0x4780u, 0x7f80u - 0x4780u);
  return 0;
}

std::int64_t count_not_finite(const containers::Tensor& t) {
  if (t.dtype == DType::f64) return count_from<std::uint64_t>(t, 0x7ff0000000000000u);
  if (t.dtype == DType::f32) return count_from<std::uint32_t>(t, 0x7f800000u);
  return count_from<std::uint16_t>(t, t.dtype == DType::f16 ? 0x7c00u : 0x7f80u);
}

}  // namespace pkv::model
