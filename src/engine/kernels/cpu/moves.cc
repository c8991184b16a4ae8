// Operations that move rows, into the past or into another number format, or that treat each element alone: add,
// append, gate, scale, pick, convert, angles.
#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/moves.cc"
#include "hwy/foreach_target.h"
//
#include <cmath>
#include <limits>

#include "engine/kernels/cpu/lanes-inl.h"
#include "engine/kernels/cpu/math-inl.h"
#include "engine/kernels/cpu/table.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class F, class T>
void convert_row(const F* from, Int n, T* to) {
  for_lanes(n, [&](auto d, Int i) HWY_ATTR { narrow(d, widen(d, from + i), to + i); });
}

// to[c][r] = from[r][c], by tiles: neither side is walked with long strides only.
template <class F, class T>
void transpose(const F* from, Int from_step, Int rows, Int columns, T* to, Int to_step) {
  constexpr Int kTile = 32;
  alignas(64) T tile[kTile][kTile];
  for (Int c0 = 0; c0 < columns; c0 += kTile) {
    const Int wide = std::min(kTile, columns - c0);
    for (Int r0 = 0; r0 < rows; r0 += kTile) {
      const Int high = std::min(kTile, rows - r0);
      for (Int r = 0; r < high; ++r) convert_row(from + (r0 + r) * from_step + c0, wide, tile[r]);
      for (Int c = 0; c < wide; ++c) {
        for (Int r = 0; r < high; ++r) to[(c0 + c) * to_step + r0 + r] = tile[r][c];
      }
    }
  }
}

// Rows [first, first + count) of `to`.
template <class F, class T>
void convert_part(const Convert& a, Int first, Int count) {
  const F* from = a.from.as<const F>();
  T* to = a.to.as<T>() + first * a.to.step(0);
  if (a.transpose) return transpose(from + first, a.from.step(0), a.from[0], count, to, a.to.step(0));
  for (Int r = 0; r < count; ++r) convert_row(from + (first + r) * a.from.step(0), a.from[1], to + r * a.to.step(0));
}

template <class F>
void convert_from(const Convert& a, Int first, Int count) {
  if (a.to.dtype == DType::f16) return convert_part<F, f16>(a, first, count);
  if (a.to.dtype == DType::bf16) return convert_part<F, bf16>(a, first, count);
  return convert_part<F, float>(a, first, count);
}

void convert_rows(const Convert& a, Int first, Int count) {
  if (a.from.dtype == DType::f16) return convert_from<f16>(a, first, count);
  if (a.from.dtype == DType::bf16) return convert_from<bf16>(a, first, count);
  return convert_from<float>(a, first, count);
}

void add_row(const Add& a, Int r) {
  const float *x = row(a.x, r), *to = row(a.add, r);
  float* out = row(a.out, r);
  for_lanes(a.out[1], [&](auto d, Int i) HWY_ATTR {
    hn::StoreU(hn::MulAdd(hn::Set(d, a.scale), hn::LoadU(d, x + i), hn::LoadU(d, to + i)), d, out + i);
  });
}

// to[i] = function(i, whole) for i in [0, n), whole vectors at a time: `whole` says whether kLanes elements may be read
// at i; if not, those from n on are to be taken for 0.
template <class Function>
HWY_INLINE void for_vectors(Int n, float* to, const Function& function) {
  const Floats d;
  Int i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(function(i, true), d, to + i);
  if (i == n) return;
  alignas(64) float rest[kLanes];
  hn::Store(function(i, false), d, rest);
  std::copy(rest, rest + n - i, to + i);
}

// e^x - 1 - x for x <= 0: by its series near 0, where the rest would leave nothing but rounding.
HWY_INLINE Vec exp_less_line(Vec x) {
  const Floats d;
  Vec p = hn::Set(d, 1.f / 362880);
  for (const float c : {1.f / 40320, 1.f / 5040, 1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 1.f / 2}) {
    p = hn::MulAdd(p, x, hn::Set(d, c));
  }
  const Vec near = hn::Mul(hn::Mul(x, x), p);
  const Vec far = hn::Sub(hn::Sub(exp_lanes(x), hn::Set(d, 1.f)), x);
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -0.7f)), far, near);
}

// A row, or a group of one.
void gate_part(const Gate& a, Int n, const float* x, const float* up, float* out) {
  const Floats d;
  if (a.neighbours || a.limit > 0) {
    const Vec limit = hn::Set(d, a.limit > 0 ? a.limit : std::numeric_limits<float>::infinity());
    return for_vectors(n, out, [&](Int i, bool whole) HWY_ATTR {
      Vec v, u;
      if (a.neighbours) {
        alignas(64) float rest[2 * kLanes] = {};
        const float* from = x + 2 * i;
        if (!whole) {
          std::copy(from, from + 2 * (n - i), rest);
          from = rest;
        }
        hn::LoadInterleaved2(d, from, v, u);
      } else {
        v = whole ? hn::LoadU(d, x + i) : widen_first(n - i, x + i);
        u = whole ? hn::LoadU(d, up + i) : widen_first(n - i, up + i);
      }
      if (a.limit > 0) u = hn::Add(hn::Set(d, 1.f), hn::Min(hn::Max(u, hn::Neg(limit)), limit));
      return hn::Mul(act_lanes(a.act, hn::Min(v, limit)), u);
    });
  }
  const auto times = [&](auto act) HWY_ATTR {
    for_vectors(n, out, [&](Int i, bool whole) HWY_ATTR {
      const Vec v = whole ? hn::LoadU(d, x + i) : widen_first(n - i, x + i);
      if (up == nullptr) return act(v);
      const Vec u = whole ? hn::LoadU(d, up + i) : widen_first(n - i, up + i);
      return hn::Mul(act(v), u);
    });
  };
  if (a.xielu) {
    const float* of = a.xielu.as<const float>();
    const Vec p = hn::Set(d, of[0]), n_ = hn::Set(d, of[1]), b = hn::Set(d, of[2]), e = hn::Set(d, of[3]);
    return times([&](Vec v) HWY_ATTR {
      const Vec held = hn::Min(v, e);
      const Vec curved = hn::Mul(n_, hn::Add(exp_less_line(held), hn::Sub(held, v)));
      const Vec square = hn::Mul(hn::Mul(p, v), v);
      return hn::MulAdd(b, v, hn::IfThenElse(hn::Gt(v, hn::Zero(d)), square, curved));
    });
  }
  switch (a.act) {  // the common ones get a loop of their own
    case Act::silu:
      return times([](Vec v) HWY_ATTR { return act_lanes(Act::silu, v); });
    case Act::gelu_tanh:
      return times([](Vec v) HWY_ATTR { return act_lanes(Act::gelu_tanh, v); });
    default:
      return times([&a](Vec v) HWY_ATTR { return act_lanes(a.act, v); });
  }
}

void gate_row(const Gate& a, Int r) {
  if (a.out.rank == 2) return gate_part(a, a.out[1], row(a.x, r), a.up ? row(a.up, r) : nullptr, row(a.out, r));
  for (Int g = 0; g < a.out[1]; ++g) {
    gate_part(a, a.out[2], row(a.x, r) + g * a.x.step(1), a.up ? row(a.up, r) + g * a.up.step(1) : nullptr,
              row(a.out, r) + g * a.out.step(1));
  }
}

void scale_row(const Scale& a, Int r) {
  const Floats d;
  const float* x = row(a.x, r);
  const Int n = a.out[1];
  const Vec factor = hn::Set(d, a.factor), cap = hn::Set(d, a.cap);
  for_vectors(n, row(a.out, r), [&](Int i, bool whole) HWY_ATTR {
    const Vec y = hn::Mul(factor, whole ? hn::LoadU(d, x + i) : widen_first(n - i, x + i));
    return a.cap > 0 ? hn::Mul(cap, tanh_lanes(hn::Div(y, cap))) : y;
  });
}

// The part of a call's rows that falls into one block, for one kv head: rows [begin, end) of the sequence.
struct Piece {
  const Sequence* sequence;
  Int head, begin, end;
};

template <class T>
void append_piece(const Append& a, const Piece& p) {
  const Sequence& s = *p.sequence;
  const Int dim = a.k[2], first = s.past + p.begin;
  std::byte* block = s.blocks[first / kBlockTokens];
  const Int n = p.end - p.begin;
  T* keys = reinterpret_cast<T*>(block + a.layer.key(p.head, first));
  T* values = reinterpret_cast<T*>(block + a.layer.value(p.head, first));
  const float* k = row(a.k, s.first_row + p.begin) + p.head * a.k.step(1);
  const float* v = row(a.v, s.first_row + p.begin) + p.head * a.v.step(1);
  transpose(k, a.k.step(0), n, dim, keys, kBlockTokens);
  for (Int r = 0; r < n; ++r) {
    const float* from = v + r * a.v.step(0);
    for_lanes(dim, [&](auto d, Int i) HWY_ATTR { narrow(d, widen(d, from + i), values + r * dim + i); });
  }
}

void append_head(const Append& a, const Sequence& s, Int head) {
  for (Int begin = 0; begin < s.rows;) {
    const Int room = kBlockTokens - (s.past + begin) % kBlockTokens;
    const Int end = std::min(s.rows, begin + room);
    if (a.layer.dtype == DType::f16) {
      append_piece<f16>(a, {&s, head, begin, end});
    } else if (a.layer.dtype == DType::bf16) {
      append_piece<bf16>(a, {&s, head, begin, end});
    } else {
      append_piece<float>(a, {&s, head, begin, end});
    }
    begin = end;
  }
}

}  // namespace
}  // namespace pkv::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::cpu {
namespace {
HWY_EXPORT(add_row);
HWY_EXPORT(append_head);
HWY_EXPORT(convert_rows);
HWY_EXPORT(gate_row);
HWY_EXPORT(scale_row);
}  // namespace

void append(Device& device, const Append& a) noexcept {
  for (const Sequence& s : host::sequences(a.batch)) {
    for_row_ranges(device, a.k[1], 2 * s.rows * a.k[2], [&](std::int64_t first, std::int64_t n) {
      for (std::int64_t head = first; head < first + n; ++head) HWY_DYNAMIC_DISPATCH(append_head)(a, s, head);
    });
  }
}

void convert(Device& device, const Convert& a) noexcept {
  constexpr std::int64_t kRows = 32;  // of `to` in one task: a tile's, when it is transposed
  const std::int64_t rows = a.to[0];
  spread(host::pool_of(device), ceil_div(rows, kRows), rows * a.to[1], [&](std::int64_t i) noexcept {
    HWY_DYNAMIC_DISPATCH(convert_rows)(a, i * kRows, std::min(kRows, rows - i * kRows));
  });
}

void add(Device& device, const Add& a) noexcept {
  for_row_ranges(device, a.out[0], a.out[1], [&](std::int64_t first, std::int64_t n) {
    for (std::int64_t r = first; r < first + n; ++r) HWY_DYNAMIC_DISPATCH(add_row)(a, r);
  });
}

void gate(Device& device, const Gate& a) noexcept {
  const std::int64_t elements = a.out.rank == 3 ? a.out[1] * a.out[2] : a.out[1];
  for_row_ranges(device, a.out[0], 8 * elements, [&](std::int64_t first, std::int64_t n) {
    for (std::int64_t r = first; r < first + n; ++r) HWY_DYNAMIC_DISPATCH(gate_row)(a, r);
  });
}

void scale(Device& device, const Scale& a) noexcept {
  for_row_ranges(device, a.out[0], 8 * a.out[1], [&](std::int64_t first, std::int64_t n) {
    for (std::int64_t r = first; r < first + n; ++r) HWY_DYNAMIC_DISPATCH(scale_row)(a, r);
  });
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
  const std::int64_t rows = a.cos[0], pairs = a.cos[1];
  for_row_ranges(device, pairs, 64 * rows, [&](std::int64_t begin, std::int64_t n) {
    for (std::int64_t i = begin; i < begin + n; ++i) {
      const double frequency = a.frequencies.as<const float>()[i], factor = a.factor;
      for (std::int64_t r = 0; r < rows; ++r) {
        const double angle = frequency * a.positions.as<const std::int32_t>()[r];
        row(a.cos, r)[i] = static_cast<float>(factor * std::cos(angle));
        row(a.sin, r)[i] = static_cast<float>(factor * std::sin(angle));
      }
    }
  });
}

}  // namespace pkv::kernels::cpu
#endif
