// The row law of append and attend: what a row gets depends on its own past alone, bit for bit.
#include <rapidcheck.h>

#include <cmath>

#include "attend_support.h"

namespace pkv::kernels {
namespace {

struct Draw {
  Shape shape;
  std::int64_t tokens;
};

Draw draw() {
  Draw d;
  d.shape.kv_heads = *rc::gen::inRange(1, 4);
  d.shape.per_group = *rc::gen::element(1, 1, 2, 3, 7);
  d.shape.dim = *rc::gen::element(1, 5, 8, 16, 24, 33);
  d.shape.dtype = *rc::gen::element(DType::f32, DType::f16, DType::bf16);
  d.shape.alibi = *rc::gen::arbitrary<bool>();
  d.shape.alibi_bf16 = d.shape.alibi && *rc::gen::arbitrary<bool>();
  d.shape.window = *rc::gen::element(0, 0, 1, 9, 63, 64, 65, 100);
  d.shape.cap = *rc::gen::element(0.f, 0.f, 2.f);
  d.shape.factors = *rc::gen::arbitrary<bool>();
  d.shape.sinks = *rc::gen::arbitrary<bool>();
  d.shape.peak = *rc::gen::element(1.f, 8.f);
  d.tokens = *rc::gen::element(1, 2, 7, 63, 64, 65, 100, 127, 128, 129);
  return d;
}

std::int64_t chunk() { return *rc::gen::element(1, 1, 2, 3, 5, 6, 8, 17, 63, 64, 65, 128); }
int threads() { return *rc::gen::element(1, 2, 3, 16); }

void same_rows(const Tensor& a, const Tensor& b, std::int64_t from, std::int64_t to) {
  for (std::int64_t r = from; r < to; ++r) {
    if (bits_of(a, r) != bits_of(b, r)) RC_FAIL("row " + std::to_string(r) + " differs");
  }
}

TEST(Law, PastSplitInAnyWay) {
  for_each_table([](const Ops& ops) {
    rc::check("fed in pieces equals fed at once", [&ops] {
      const auto [s, tokens] = draw();
      const Text text(s, tokens, 11);
      Tensor once(DType::f32, {tokens, s.heads(), s.dim}), pieces(DType::f32, {tokens, s.heads(), s.dim});
      Past a(s.kv_heads, s.dim, s.dtype, tokens), b(s.kv_heads, s.dim, s.dtype, tokens);
      feed(ops, *ops.open(threads()), s, text, 0, tokens, a, once);
      const auto device = ops.open(threads());
      for (std::int64_t at = 0; at < tokens;) {
        const std::int64_t to = std::min(tokens, at + chunk());
        feed(ops, *device, s, text, at, to, b, pieces);
        at = to;
      }
      same_rows(once, pieces, 0, tokens);
    });
  });
}

TEST(Law, ForksGoTheirOwnWay) {
  for_each_table([](const Ops& ops) {
    rc::check("a fork equals a sequence fed from the start", [&ops] {
      auto [s, tokens] = draw();
      tokens += 2;
      const std::int64_t at = *rc::gen::inRange<std::int64_t>(1, tokens);
      const auto device = ops.open(2);
      const Text text(s, tokens, 11);
      Tensor plain(DType::f32, {tokens, s.heads(), s.dim}), forked(DType::f32, {tokens, s.heads(), s.dim});
      Past past(s.kv_heads, s.dim, s.dtype, tokens);
      feed(ops, *device, s, text, 0, at, past, plain);
      Past fork = past.fork();
      // The original goes on with other tokens; the fork must not see them.
      const Text other(s, tokens, 99);
      feed(ops, *device, s, other, at, tokens, past, plain);
      feed(ops, *device, s, text, at, tokens, fork, forked);
      Past fresh(s.kv_heads, s.dim, s.dtype, tokens);
      feed(ops, *device, s, text, 0, tokens, fresh, plain);
      same_rows(plain, forked, at, tokens);
    });
  });
}

// Several sequences in one call, one of them all NaN: the others are what they are alone.
TEST(Law, SequencesShareACall) {
  for_each_table([](const Ops& ops) {
    rc::check("a sequence in a batch equals the sequence alone", [&ops] {
      const auto [s, tokens] = draw();
      const auto count = *rc::gen::inRange<std::int64_t>(2, 5);
      const auto poisoned = *rc::gen::inRange<std::int64_t>(0, count);
      std::vector<std::int64_t> rows, first;
      std::int64_t all = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        rows.push_back(std::min(chunk(), tokens));
        first.push_back(all);
        all += rows.back();
      }
      const Text text(s, all, 5);
      for (std::int64_t r = 0; r < rows[poisoned]; ++r) {
        for (Tensor t : {text.q, text.k, text.v}) {
          for (std::int64_t c = 0; c < t.columns(); ++c) t.set(first[poisoned] + r, c, std::nanf(""));
        }
      }
      const Tensor slope = slopes(s);
      std::vector<Past> pasts(count, Past(s.kv_heads, s.dim, s.dtype, tokens));
      std::vector<Past> lonely = pasts;
      std::vector<Sequence> sequences;
      for (std::int64_t i = 0; i < count; ++i) sequences.push_back(pasts[i].sequence(first[i], rows[i], 0));
      const auto device = ops.open(threads());
      const Sequences batch(ops, *device, sequences);
      Tensor together(DType::f32, {all, s.heads(), s.dim}), alone(DType::f32, {all, s.heads(), s.dim});
      Attend a = attend_of(s, slope);
      a.q = text.q.view();
      a.out = together.view();
      a.batch = batch, a.layer = pasts[0].layer();
      ops.append(*device, {text.k.view(), text.v.view(), batch, a.layer});
      ops.attend(*device, a);
      together.check_guard();
      for (std::int64_t i = 0; i < count; ++i) {
        if (i == poisoned) continue;
        const Sequences one(ops, *device, lonely[i].sequence(first[i], rows[i], 0));
        a.out = alone.view();
        a.batch = one;
        ops.append(*device, {text.k.view(), text.v.view(), one, a.layer});
        ops.attend(*device, a);
        same_rows(together, alone, first[i], first[i] + rows[i]);
        for (std::int64_t r = first[i]; r < first[i] + rows[i]; ++r) {
          for (std::int64_t c = 0; c < together.columns(); ++c) RC_ASSERT(!std::isnan(together.get(r, c)));
        }
      }
    });
  });
}

// A later token of the same sequence, in the same call and the same block, is nobody's business before it.
TEST(Law, LaterTokensDoNotLeak) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t bad : {1, 5, 40, 63, 64, 70}) {
      const Shape s{.kv_heads = 1, .per_group = 3, .dim = 24};
      const std::int64_t tokens = 80;
      const Text clean(s, tokens, 5), dirty(s, tokens, 5);
      for (std::int64_t r = bad; r < tokens; ++r) {
        for (Tensor t : {dirty.q, dirty.k, dirty.v}) {
          for (std::int64_t c = 0; c < t.columns(); ++c) t.set(r, c, std::nanf(""));
        }
      }
      Past a(s.kv_heads, s.dim, s.dtype, tokens), b(s.kv_heads, s.dim, s.dtype, tokens);
      Tensor x(DType::f32, {tokens, s.heads(), s.dim}), y(DType::f32, {tokens, s.heads(), s.dim});
      feed(ops, *ops.open(2), s, clean, 0, tokens, a, x);
      feed(ops, *ops.open(2), s, dirty, 0, tokens, b, y);
      for (std::int64_t r = 0; r < bad; ++r)
        ASSERT_EQ(bits_of(x, r), bits_of(y, r)) << "row " << r << ", NaN from " << bad;
      for (std::int64_t r = bad; r < tokens; ++r) ASSERT_TRUE(std::isnan(y.get(r, 0))) << "row " << r;
    }
  });
}

}  // namespace
}  // namespace pkv::kernels
