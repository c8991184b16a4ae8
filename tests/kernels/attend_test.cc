// append and attend against naive, and their row law.
#include <rapidcheck.h>

#include <cmath>

#include "base/random.h"
#include "support.h"

namespace pkv::kernels {
namespace {

struct Shape {
  std::int64_t kv_heads = 2, per_group = 1, dim = 8;
  DType dtype = DType::f32;
  bool causal = true;
  bool alibi = false, alibi_bf16 = false;
  float peak = 1;  // scale of the queries: a larger one makes attention more peaked
  std::int64_t heads() const { return kv_heads * per_group; }
};

// The tokens of one sequence: queries, keys and values of every position.
struct Text {
  Tensor q, k, v;
  Text(const Shape& s, std::int64_t tokens, std::uint64_t seed)
      : q(DType::f32, {tokens, s.kv_heads, s.per_group, s.dim}),
        k(DType::f32, {tokens, s.kv_heads, s.dim}),
        v(DType::f32, {tokens, s.kv_heads, s.dim}) {
    q.random(seed, s.peak);
    k.random(seed + 1);
    v.random(seed + 2);
  }
};

Tensor slopes(const Shape& s) {
  Tensor t(DType::f32, {1, s.heads()});
  for (std::int64_t h = 0; h < s.heads(); ++h) {
    t.set(0, h, static_cast<float>(std::exp2(-8. * static_cast<double>(h + 1) / static_cast<double>(s.heads()))));
  }
  return t;
}

Attend attend_of(const Shape& s, const Tensor& slope) {
  Attend a;
  a.scale = 1 / std::sqrt(static_cast<float>(s.dim));
  a.causal = s.causal;
  if (s.alibi) a.slopes = View(slope.view().data, DType::f32, {s.heads()});
  a.alibi_bf16 = s.alibi_bf16;
  a.alibi_scale = s.alibi_bf16 ? a.scale : 1.f;
  return a;
}

// Feeds tokens [from, to) of a text to a past and writes their outputs to out's rows [from, to).
void feed(const Ops& ops, Device& device, const Shape& s, const Text& text, std::int64_t from, std::int64_t to,
          Past& past, const Tensor& out) {
  const Tensor slope = slopes(s);
  const std::int64_t n = to - from;
  const Sequence sequence{0, n, from, past.layer()};
  ops.append(device, {text.k.view().rows(from, n), text.v.view().rows(from, n), {&sequence, 1}});
  Attend a = attend_of(s, slope);
  a.q = text.q.view().rows(from, n);
  a.out = out.view().rows(from, n);
  a.sequences = {&sequence, 1};
  ops.attend(device, a);
}

void compare(const Ops& ops, const Shape& s, std::int64_t tokens, std::int64_t last) {
  const Text text(s, tokens, 7);
  const auto run = [&](const Ops& o) {
    Past past(s.kv_heads, s.dim, s.dtype, tokens);
    Tensor out(DType::f32, {tokens, s.heads(), s.dim});
    const auto device = o.open(2);
    if (last < tokens) feed(o, *device, s, text, 0, tokens - last, past, out);
    feed(o, *device, s, text, tokens - last, tokens, past, out);
    out.check_guard();
    return out;
  };
  // Weights: a score is off by about sqrt(dim) units of its magnitude (peak * sqrt(dim) here, ALiBi's bias on top), and
  // e^score by as much again; outputs are means of values in [-1, 1).
  const double score = s.peak * std::sqrt(static_cast<double>(s.dim)) + (s.alibi ? 20 : 0);
  const double bound =
      4 * kUnit * (8 + std::sqrt(static_cast<double>(s.dim)) + score + std::log2(static_cast<double>(tokens) + 1));
  expect_near(
      run(ops), run(table("naive")), [&](auto, auto) { return bound; },
      "attend, " + std::to_string(tokens) + " tokens, " + std::to_string(s.kv_heads) + " kv heads of " +
          std::to_string(s.per_group) + ", dim " + std::to_string(s.dim));
}

TEST(Attend, EqualsNaiveOnAwkwardShapes) {
  for_each_table([](const Ops& ops) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (const std::int64_t dim : {1, 3, 5, 8, 15, 24, 33, 64, 80, 100, 128, 256}) {
        for (const std::int64_t tokens : {1, 2, 63, 64, 65, 130}) {
          compare(ops, {.per_group = 1 + dim % 3, .dim = dim, .dtype = dtype, .peak = 3}, tokens, tokens);
          if (testing::Test::HasFailure()) return;
        }
      }
    }
    for (const std::int64_t tokens : {127, 128, 129, 255, 256, 257}) compare(ops, {.dim = 24, .peak = 5}, tokens, 1);
  });
}

TEST(Attend, GroupedHeads) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t per_group : {1, 2, 4, 5, 6, 7, 8, 16, 71}) {
      compare(ops, {.kv_heads = 2, .per_group = per_group, .dim = 20}, 70, 3);
      compare(ops, {.kv_heads = 1, .per_group = per_group, .dim = 64}, 70, 1);
    }
  });
}

TEST(Attend, BothWays) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t tokens : {1, 5, 64, 65, 100}) compare(ops, {.dim = 16, .causal = false}, tokens, tokens);
  });
}

TEST(Attend, Alibi) {
  for_each_table([](const Ops& ops) {
    for (const bool rounded : {false, true}) {
      for (const std::int64_t tokens : {3, 64, 65, 300}) {
        compare(ops, {.kv_heads = 5, .dim = 16, .alibi = true, .alibi_bf16 = rounded}, tokens,
                std::min<std::int64_t>(tokens, 5));
      }
    }
  });
}

}  // namespace
}  // namespace pkv::kernels
