// A random text of queries, keys and values, and a sequence fed with parts of it.
#pragma once

#include <algorithm>
#include <cmath>

#include "support.h"

namespace pkv::kernels {

struct Shape {
  std::int64_t kv_heads = 2, per_group = 1, dim = 8;
  DType dtype = DType::f32;
  bool causal = true;
  bool alibi = false, alibi_bf16 = false;
  std::int64_t window = 0;
  float cap = 0;
  bool factors = false, sinks = false;
  float peak = 1;  // scale of the queries: a larger one makes attention more peaked
  std::int64_t heads() const { return kv_heads * per_group; }
};

// The tokens of one sequence: queries, keys and values of every position.
struct Text {
  Tensor q, k, v, factors;
  Text(const Shape& s, std::int64_t tokens, std::uint64_t seed)
      : q(DType::f32, {tokens, s.kv_heads, s.per_group, s.dim}),
        k(DType::f32, {tokens, s.kv_heads, s.dim}),
        v(DType::f32, {tokens, s.kv_heads, s.dim}),
        factors(DType::f32, {tokens, 1}) {
    for (std::int64_t r = 0; r < tokens; ++r) factors.set(r, 0, 1 + 0.1f * static_cast<float>(r % 7));
    q.random(seed, s.peak);
    k.random(seed + 1);
    v.random(seed + 2);
  }
};

inline Tensor slopes(const Shape& s) {
  Tensor t(DType::f32, {1, s.heads()});
  for (std::int64_t h = 0; h < s.heads(); ++h) {
    t.set(0, h, static_cast<float>(std::exp2(-8. * static_cast<double>(h + 1) / static_cast<double>(s.heads()))));
  }
  return t;
}

inline Attend attend_of(const Shape& s, const Tensor& slope) {
  Attend a;
  a.scale = 1 / std::sqrt(static_cast<float>(s.dim));
  a.causal = s.causal;
  if (s.alibi) a.slopes = View(slope.view().data, DType::f32, {s.heads()});
  a.window = s.window, a.cap = s.cap;
  a.alibi_bf16 = s.alibi_bf16;
  a.alibi_scale = s.alibi_bf16 ? a.scale : 1.f;
  return a;
}

// Feeds tokens [from, to) of a text to a past and writes their outputs to out's rows [from, to).
inline void feed(const Ops& ops, Device& device, const Shape& s, const Text& text, std::int64_t from, std::int64_t to,
                 Past& past, const Tensor& out) {
  const Tensor slope = slopes(s);
  const std::int64_t n = to - from;
  const Sequences batch(ops, device, past.sequence(0, n, from));
  ops.append(device, {text.k.view().rows(from, n), text.v.view().rows(from, n), batch, past.layer()});
  Attend a = attend_of(s, slope);
  a.q = text.q.view().rows(from, n);
  const Tensor sinks = Tensor(DType::f32, {1, s.heads()}).random(77, 3);
  if (s.sinks) a.sinks = View(sinks.view().data, DType::f32, {s.heads()});
  if (s.factors) a.factors = View(text.factors.view().as<float>() + from, DType::f32, {n});
  a.out = out.view().rows(from, n);
  a.batch = batch, a.layer = past.layer();
  ops.attend(device, a);
}

}  // namespace pkv::kernels
