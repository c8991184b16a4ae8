// append and attend against naive, and their row law.
#include <cmath>

#include "attend_support.h"

namespace pkv::kernels {
namespace {

// Weights: a score is off by about sqrt(dim) units of its magnitude (peak * sqrt(dim) here, ALiBi's bias on top, where
// it still weighs: e^-20 is nothing), and e^score by as much again; outputs are means of values in [-1, 1).
double bound_of(const Shape& s, std::int64_t tokens) {
  const double root = std::sqrt(static_cast<double>(s.dim));
  const double score = s.peak * root + (s.alibi ? 20 : 0);
  return 4 * kUnit * (8 + root + score + std::log2(static_cast<double>(tokens) + 1));
}

void compare(const Shape& s, std::int64_t tokens, std::int64_t last) {
  const Text text(s, tokens, 7);
  const auto run = [&](const Ops& o) {
    Past past(s.kv_heads, s.dim, s.dtype, tokens);
    Tensor out(DType::f32, {tokens, s.heads(), s.dim});
    const auto device = o.open(2);
    if (last < tokens) {  // the past of the last rows, without its own attention
      const Sequences before(o, *device, past.sequence(0, tokens - last, 0));
      o.append(*device, {text.k.view(), text.v.view(), before, past.layer()});
      for (std::int64_t r = 0; r < tokens - last; ++r) {
        for (std::int64_t c = 0; c < out.columns(); ++c) out.set(r, c, 0);
      }
    }
    feed(o, *device, s, text, tokens - last, tokens, past, out);
    out.check_guard();
    return out;
  };
  const double bound = bound_of(s, tokens);
  const Tensor want = run(table("naive"));
  for_each_table([&](const Ops& ops) {
    expect_near(
        run(ops), want, [&](auto, auto) { return bound; },
        "attend, " + std::to_string(tokens) + " tokens, " + std::to_string(s.kv_heads) + " kv heads of " +
            std::to_string(s.per_group) + ", dim " + std::to_string(s.dim));
  });
}

TEST(Attend, EqualsNaiveOnAwkwardShapes) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t dim : {1, 3, 5, 8, 15, 24, 33, 64, 80, 100, 128, 256}) {
      for (const std::int64_t tokens : {1, 2, 63, 64, 65, 130}) {
        // The last rows only where all would take long: the definition is slow.
        const std::int64_t last = dim < 64 || tokens < 3 ? tokens : 3;
        compare({.per_group = 1 + dim % 3, .dim = dim, .dtype = dtype, .peak = 3}, tokens, last);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
  for (const std::int64_t tokens : {127, 128, 129, 255, 256, 257}) compare({.dim = 24, .peak = 5}, tokens, 1);
}

TEST(Attend, GroupedHeads) {
  for (const std::int64_t per_group : {1, 2, 3, 4, 5, 6, 7, 8, 16, 71}) {
    compare({.kv_heads = 2, .per_group = per_group, .dim = 20}, 70, 3);
    compare({.kv_heads = 1, .per_group = per_group, .dim = 64}, 70, 1);
  }
}

TEST(Attend, WindowsCapsAndFactors) {
  for (const std::int64_t tokens : {1, 2, 65, 130, 200}) {
    for (const std::int64_t window : {1, 9, 63, 64, 65, 129, 300}) {
      compare({.per_group = 3, .dim = 12, .window = window, .peak = 3}, tokens, tokens);
      if (testing::Test::HasFailure()) return;
    }
    compare({.dim = 24, .cap = 1.5f, .peak = 3}, tokens, tokens);
    compare({.dim = 24, .window = 70, .cap = 0.5f, .factors = true, .peak = 3}, tokens, tokens);
    compare({.per_group = 2, .dim = 16, .dtype = DType::bf16, .factors = true, .peak = 2}, tokens, tokens);
  }
}

TEST(Attend, Sinks) {
  for (const std::int64_t tokens : {1, 2, 63, 64, 65, 130}) {
    compare({.per_group = 3, .dim = 12, .sinks = true, .peak = 3}, tokens, tokens);
    compare({.dim = 24, .dtype = DType::bf16, .window = 9, .sinks = true, .peak = 8}, tokens, tokens);
  }
  // One token sees itself and the sink: a part 1 / (1 + e^(sink - score)) of its value is left, nothing of a high sink.
  for_each_table([](const Ops& ops) {
    for (const float sink : {-200.f, 0.f, 2.f, 200.f}) {
      const auto device = ops.open(1);
      Past past(1, 1, DType::f32, 1);
      Tensor q(DType::f32, {1, 1, 1, 1}), k(DType::f32, {1, 1, 1}), out(DType::f32, {1, 1, 1}),
          sinks(DType::f32, {1, 1});
      q.fill(2), k.fill(0.5f), sinks.fill(sink);
      const Sequences batch(ops, *device, past.sequence(0, 1, 0));
      ops.append(*device, {k.view(), k.view(), batch, past.layer()});
      ops.attend(*device, {.q = q.view(),
                           .out = out.view(),
                           .sinks = View(sinks.view().data, DType::f32, {1}),
                           .batch = batch,
                           .layer = past.layer()});
      EXPECT_NEAR(out.get(0, 0), 0.5 / (1 + std::exp(static_cast<double>(sink) - 1)), 8 * kUnit) << sink;
    }
  });
}

// What lies before the window is not read: NaN there, and blocks that are no more, change nothing.
TEST(Attend, ReadsNothingBeforeTheWindow) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t window : {1, 3, 9, 64, 66, 100}) {
      const std::int64_t tokens = 200, last = 11, first = tokens - last - window + 1;  // seen by the first of the rows
      const Shape s{.kv_heads = 2, .per_group = 2, .dim = 8, .window = window};
      const Text text(s, tokens, 5);
      const auto run = [&](bool gone) {
        const auto device = ops.open(2);
        Past past(s.kv_heads, s.dim, s.dtype, tokens);
        Tensor out(DType::f32, {tokens, s.heads(), s.dim});
        Tensor k = text.k, v = text.v;
        if (gone) {
          k = Tensor(DType::f32, {tokens, s.kv_heads, s.dim}), v = Tensor(DType::f32, {tokens, s.kv_heads, s.dim});
          for (std::int64_t r = 0; r < tokens; ++r) {
            for (std::int64_t c = 0; c < k.columns(); ++c) {
              k.set(r, c, r < first ? std::nanf("") : static_cast<float>(text.k.get(r, c)));
              v.set(r, c, r < first ? std::nanf("") : static_cast<float>(text.v.get(r, c)));
            }
          }
        }
        const Sequences all(ops, *device, past.sequence(0, tokens, 0));
        ops.append(*device, {k.view(), v.view(), all, past.layer()});
        Sequence rows = past.sequence(0, last, tokens - last);
        std::vector<std::byte*> blocks(rows.blocks, rows.blocks + (tokens + kBlockTokens - 1) / kBlockTokens);
        for (std::int64_t b = 0; gone && b < first / kBlockTokens; ++b) blocks[static_cast<std::size_t>(b)] = nullptr;
        rows.blocks = blocks.data();
        const Sequences batch(ops, *device, rows);
        Attend a = attend_of(s, slopes(s));
        a.q = text.q.view().rows(tokens - last, last);
        a.out = out.view().rows(0, last);
        a.batch = batch, a.layer = past.layer();
        ops.attend(*device, a);
        return out;
      };
      const Tensor whole = run(false), part = run(true);
      for (std::int64_t r = 0; r < last; ++r) EXPECT_EQ(bits_of(whole, r), bits_of(part, r)) << window << ", row " << r;
    }
  });
}

TEST(Attend, BothWays) {
  for (const std::int64_t tokens : {1, 5, 64, 65, 100}) compare({.dim = 16, .causal = false}, tokens, tokens);
}

TEST(Attend, Alibi) {
  for (const bool rounded : {false, true}) {
    for (const std::int64_t tokens : {3, 64, 65, 300}) {
      compare({.kv_heads = 5, .dim = 16, .alibi = true, .alibi_bf16 = rounded}, tokens,
              std::min<std::int64_t>(tokens, 5));
    }
  }
}

// Far positions: the call's rows come after a long past, which attention must still reach with the right bias. The past
// is one block of text written again and again, so that the test stays quick.
TEST(Attend, AlibiFarOut) {
  for_each_table([](const Ops& ops) {
    for (const bool rounded : {false, true}) {
      const Shape s{.kv_heads = 1, .dim = 8, .alibi = true, .alibi_bf16 = rounded};
      const std::int64_t past_tokens = 100'000 / kBlockTokens * kBlockTokens, rows = 3;
      const Text text(s, kBlockTokens + rows, 3);
      const Tensor slope = slopes(s);
      Past blocks(s.kv_heads, s.dim, s.dtype, 2 * kBlockTokens);
      const auto device = ops.open(2);
      const Sequence head = blocks.sequence(0, kBlockTokens, 0);
      ops.append(*device, {text.k.view(), text.v.view(), Sequences(ops, *device, head), blocks.layer()});
      std::vector<std::byte*> list(static_cast<std::size_t>(past_tokens / kBlockTokens), head.blocks[0]);
      list.push_back(head.blocks[1]);
      const Sequences far(ops, *device, {.rows = rows, .past = past_tokens, .blocks = list.data()});
      const View k = text.k.view().rows(kBlockTokens, rows), v = text.v.view().rows(kBlockTokens, rows);
      ops.append(*device, {k, v, far, blocks.layer()});
      Tensor got(DType::f32, {rows, s.heads(), s.dim}), want(DType::f32, {rows, s.heads(), s.dim});
      Attend a = attend_of(s, slope);
      a.q = text.q.view().rows(kBlockTokens, rows);
      a.batch = far, a.layer = blocks.layer();
      a.out = got.view();
      ops.attend(*device, a);
      a.out = want.view();
      table("naive").attend(*table("naive").open(2), a);
      expect_near(
          got, want, [&](auto, auto) { return bound_of(s, past_tokens + rows); }, "attend at position 100000");
    }
  });
}

// Keys that a row must not see weigh nothing: whatever they hold, its output stays, bit for bit. What is left is what
// naive says.
TEST(Attend, HidesFirstKeys) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t tokens : {3, 65, 130}) {
      for (const std::int64_t hidden : {std::int64_t{1}, tokens / 2, tokens - 2}) {
        const Shape s{.kv_heads = 2, .per_group = 2, .dim = 8, .alibi = true};
        const Text text(s, tokens, 5), other(s, tokens, 6);
        const Tensor slope = slopes(s);
        const auto run = [&](const Ops& o, const Text& start) {
          const auto device = o.open(1);
          Past past(s.kv_heads, s.dim, s.dtype, tokens);
          const Sequences all(o, *device, past.sequence(0, tokens, 0)), first(o, *device, past.sequence(0, hidden, 0));
          o.append(*device, {text.k.view(), text.v.view(), all, past.layer()});
          o.append(*device, {start.k.view(), start.v.view(), first, past.layer()});
          Sequence rows = past.sequence(0, 2, tokens - 2);
          rows.first_key = hidden, rows.alibi_from = tokens - 2;
          const Sequences batch(o, *device, rows);
          Tensor out(DType::f32, {2, s.heads(), s.dim});
          Attend a = attend_of(s, slope);
          a.q = text.q.view().rows(tokens - 2, 2);
          a.out = out.view();
          a.batch = batch, a.layer = past.layer();
          o.attend(*device, a);
          return out;
        };
        const std::string what = std::to_string(hidden) + " of " + std::to_string(tokens) + " keys hidden";
        const Tensor got = run(ops, text);
        expect_near(
            got, run(ops, other), [](auto, auto) { return 0.; }, what);
        expect_near(
            got, run(table("naive"), text), [&](auto, auto) { return bound_of(s, tokens); }, what);
      }
    }
  });
}

// With all keys of the past at one bias, a call of one row is as without any bias.
TEST(Attend, AlibiFromTheLastKeyIsNone) {
  for_each_table([](const Ops& ops) {
    for (const bool rounded : {false, true}) {
      for (const std::int64_t tokens : {2, 64, 100}) {
        const Shape s{.kv_heads = 2, .dim = 8, .alibi = true, .alibi_bf16 = rounded};
        const Text text(s, tokens, 5);
        const Tensor slope = slopes(s);
        const auto run = [&](bool bias) {
          const auto device = ops.open(1);
          Past past(s.kv_heads, s.dim, s.dtype, tokens);
          const Sequences all(ops, *device, past.sequence(0, tokens, 0));
          ops.append(*device, {text.k.view(), text.v.view(), all, past.layer()});
          Sequence last = past.sequence(0, 1, tokens - 1);
          last.alibi_from = tokens - 1;
          const Sequences batch(ops, *device, last);
          Tensor out(DType::f32, {1, s.heads(), s.dim});
          Attend a = attend_of(s, slope);
          if (!bias) a.slopes = {};
          a.q = text.q.view().rows(tokens - 1, 1);
          a.out = out.view();
          a.batch = batch, a.layer = past.layer();
          ops.attend(*device, a);
          return out;
        };
        expect_near(
            run(true), run(false), [](auto, auto) { return 0.; }, std::to_string(tokens) + " tokens");
      }
    }
  });
}

}  // namespace
}  // namespace pkv::kernels
