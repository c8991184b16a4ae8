// Operations that move rows or need no vectors: append, pick, angles.
#include <cmath>

#include "kernels/cpu/table.h"
#include "tensor/half.h"

namespace pkv::kernels::cpu {
namespace {

template <class T>
T narrow(float x) {
  if constexpr (std::is_same_v<T, f16>) {
    return to_f16(x);
  } else if constexpr (std::is_same_v<T, bf16>) {
    return to_bf16(x);
  } else {
    return x;
  }
}

// The part of a call's rows that falls into one block, for one kv head: rows [begin, end) of the sequence.
struct Piece {
  const Sequence* sequence;
  std::int64_t head, begin, end;
};

template <class T>
void append_piece(const Append& a, const Piece& p) {
  const Sequence& s = *p.sequence;
  const std::int64_t dim = a.k[2], first = s.past + p.begin;
  std::byte* block = s.layer.blocks[first / kBlockTokens];
  const std::int64_t at = p.head * dim * kBlockTokens, token = first % kBlockTokens, n = p.end - p.begin;
  T* keys = reinterpret_cast<T*>(block + s.layer.keys) + at + token;
  T* values = reinterpret_cast<T*>(block + s.layer.values) + at + token * dim;
  const float* k = row(a.k, s.first_row + p.begin) + p.head * a.k.step(1);
  const float* v = row(a.v, s.first_row + p.begin) + p.head * a.v.step(1);
  for (std::int64_t d = 0; d < dim; ++d) {
    for (std::int64_t r = 0; r < n; ++r) keys[d * kBlockTokens + r] = narrow<T>(k[r * a.k.step(0) + d]);
  }
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t d = 0; d < dim; ++d) values[r * dim + d] = narrow<T>(v[r * a.v.step(0) + d]);
  }
}

void append_head(const Append& a, const Sequence& s, std::int64_t head) {
  for (std::int64_t begin = 0; begin < s.rows;) {
    const std::int64_t room = kBlockTokens - (s.past + begin) % kBlockTokens;
    const std::int64_t end = std::min(s.rows, begin + room);
    if (s.layer.dtype == DType::f16) {
      append_piece<f16>(a, {&s, head, begin, end});
    } else if (s.layer.dtype == DType::bf16) {
      append_piece<bf16>(a, {&s, head, begin, end});
    } else {
      append_piece<float>(a, {&s, head, begin, end});
    }
    begin = end;
  }
}

}  // namespace

void append(Device& device, const Append& a) noexcept {
  for (const Sequence& s : a.sequences) {
    for_row_ranges(device, a.k[1], 2 * s.rows * a.k[2], [&](std::int64_t first, std::int64_t n) {
      for (std::int64_t head = first; head < first + n; ++head) append_head(a, s, head);
    });
  }
}

void pick(Device& device, const Pick& a) noexcept {
  for_row_ranges(device, a.out[0], a.out[1], [&](std::int64_t first, std::int64_t n) {
    for (std::int64_t r = first; r < first + n; ++r) {
      const float* x = row(a.x, a.rows.as<const std::int32_t>()[r]);
      std::copy(x, x + a.out[1], row(a.out, r));
    }
  });
}

// Once per pass, so by the library's double functions as in naive.
void angles(Device& device, const Angles& a) noexcept {
  const std::int64_t rows = a.cos[0], half = a.cos[1];
  for_row_ranges(device, half, 64 * rows, [&](std::int64_t begin, std::int64_t n) {
    for (std::int64_t i = begin; i < begin + n; ++i) {
      const auto frequency = static_cast<float>(std::pow(a.theta, -static_cast<double>(i) / static_cast<double>(half)));
      for (std::int64_t r = 0; r < rows; ++r) {
        const double angle = static_cast<double>(frequency) * a.positions.as<const std::int32_t>()[r];
        row(a.cos, r)[i] = static_cast<float>(std::cos(angle));
        row(a.sin, r)[i] = static_cast<float>(std::sin(angle));
      }
    }
  });
}

}  // namespace pkv::kernels::cpu
