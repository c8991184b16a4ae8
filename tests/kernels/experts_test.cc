// route, expert_linear and mix: what is chosen, that a product of many experts is those of each alone, and sums in
// order.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "support.h"
#include "support/blocks.h"

namespace pkv::kernels {
namespace {

using By = Routing::By;

struct Routed {
  Tensor weights;
  std::vector<std::int32_t> places, rows, starts;

  Routed(const Ops& ops, const Tensor& scores, std::int64_t chosen, const Routing& how, const View& bias = {},
         int threads = 2)
      : weights(DType::f32, {scores.rows(), chosen}, chosen + 3),
        places(static_cast<std::size_t>(scores.rows() * chosen), -1),
        rows(places.size(), -1),
        starts(static_cast<std::size_t>(scores.columns()) + 1, -1) {
    ops.route(*ops.open(threads), {.scores = scores.view(),
                                   .bias = bias,
                                   .weights = weights.view(),
                                   .places = View(places.data(), DType::i32, {scores.rows(), chosen}),
                                   .rows = View(rows.data(), DType::i32, {std::ssize(rows)}),
                                   .starts = View(starts.data(), DType::i32, {std::ssize(starts)}),
                                   .how = how});
    weights.check_guard();
  }
  std::int32_t place(std::int64_t r, std::int64_t i) const {
    return places[static_cast<std::size_t>(r * weights.columns() + i)];
  }
  std::int32_t expert(std::int64_t r, std::int64_t i) const {
    return static_cast<std::int32_t>(std::ranges::upper_bound(starts, place(r, i)) - starts.begin()) - 1;
  }
  std::vector<std::int32_t> experts(std::int64_t r) const {
    std::vector<std::int32_t> all;
    for (std::int64_t i = 0; i < weights.columns(); ++i) all.push_back(expert(r, i));
    return all;
  }
};

View vector_of(const Tensor& t) { return View(t.view().data, DType::f32, {t.columns()}); }

// The rule in other words: sort, cut, ascend.
std::vector<std::int32_t> largest(const std::vector<double>& ranks, std::int64_t n) {
  std::vector<std::int32_t> order(ranks.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](auto a, auto b) { return ranks[a] > ranks[b]; });
  order.resize(static_cast<std::size_t>(n));
  std::ranges::sort(order);
  return order;
}

TEST(Route, ChoosesTheLargestInTheOrderOfExperts) {
  for (const auto& [experts, chosen] : {std::pair{1, 1}, {2, 1}, {5, 5}, {8, 2}, {60, 4}, {129, 8}}) {
    for (const By by : {By::softmax, By::sigmoid, By::of_chosen}) {
      for (const bool biased : {false, true}) {
        const Tensor scores = Tensor(DType::f32, {7, experts}, experts + 5).random(experts, 3);
        const Tensor bias = Tensor(DType::f32, {1, experts}).random(9, 0.5f);
        for_each_table([&](const Ops& ops) {
          const Routing how{.by = by, .normalised = by == By::sigmoid, .factor = 1.5f};
          const View added = biased ? vector_of(bias) : View();
          const Routed got(ops, scores, chosen, how, added);
          std::vector<std::vector<std::int32_t>> pairs(static_cast<std::size_t>(experts));
          for (std::int64_t r = 0; r < 7; ++r) {
            std::vector<double> values = scores.values()[static_cast<std::size_t>(r)];
            double sum = 0;
            for (double& v : values) {
              if (by == By::softmax) sum += v = std::exp(v);
              if (by == By::sigmoid) v = 1 / (1 + std::exp(-v));
            }
            if (by == By::softmax) std::ranges::for_each(values, [&](double& v) { v /= sum; });
            std::vector<double> ranks = values;
            for (std::size_t i = 0; biased && i < ranks.size(); ++i)
              ranks[i] += bias.get(0, static_cast<std::int64_t>(i));
            const auto want = largest(ranks, chosen);
            ASSERT_EQ(got.experts(r), want) << experts << " experts, row " << r;
            if (by == By::of_chosen) std::ranges::for_each(values, [](double& v) { v = std::exp(v); });
            double whole = 0;
            for (const std::int32_t e : want) whole += values[static_cast<std::size_t>(e)];
            if (by == By::softmax) whole = 1;
            for (std::int64_t i = 0; i < chosen; ++i) {
              const std::int32_t e = want[static_cast<std::size_t>(i)];
              EXPECT_NEAR(got.weights.get(r, i), 1.5 * values[static_cast<std::size_t>(e)] / whole, 4 * kUnit * 1.5);
              pairs[static_cast<std::size_t>(e)].push_back(static_cast<std::int32_t>(r));
            }
          }
          // The pairs of an expert are its rows, ascending.
          std::vector<std::int32_t> all;
          for (const auto& rows : pairs) all.insert(all.end(), rows.begin(), rows.end());
          EXPECT_EQ(got.rows, all);
          EXPECT_EQ(got.starts.back(), 7 * chosen);
          // A row alone.
          Tensor last(DType::f32, {1, experts});
          for (std::int64_t i = 0; i < experts; ++i) last.set(0, i, static_cast<float>(scores.get(6, i)));
          const Routed alone(ops, last, chosen, how, added, 1);
          EXPECT_EQ(bits_of(alone.weights, 0), bits_of(got.weights, 6));
          EXPECT_EQ(alone.experts(0), got.experts(6));
        });
      }
    }
  }
}

Tensor scores_of(const std::vector<float>& of) {
  Tensor t(DType::f32, {1, static_cast<std::int64_t>(of.size())});
  for (std::size_t i = 0; i < of.size(); ++i) t.set(0, static_cast<std::int64_t>(i), of[i]);
  return t;
}

TEST(Route, OfEqualOnesTheLowerIndex) {
  const Tensor scores = scores_of({1, 3, 2, 3, 2, 2, std::nanf("")}), nan = scores_of({NAN, NAN, NAN});
  for_each_table([&](const Ops& ops) {
    EXPECT_EQ(Routed(ops, scores, 3, {}).experts(0), (std::vector<std::int32_t>{1, 2, 3}));
    EXPECT_EQ(Routed(ops, scores, 3, {.high_ties = true}).experts(0), (std::vector<std::int32_t>{1, 3, 5}));
    EXPECT_EQ(Routed(ops, nan, 2, {}).experts(0), (std::vector<std::int32_t>{0, 1}));
  });
}

TEST(Route, LooksAtTheBestGroupsOnly) {
  // Sums of two: 5 and 3 in the first, 7 and 0, 4.5 and 4.4 in the last, which beats the largest value of all.
  const Tensor scores = scores_of({5, 3, -9, 7, 0, -9, 4.5, 4.4f, 4.3f});
  for_each_table([&](const Ops& ops) {
    const Routing how{.by = By::of_chosen, .groups = 3, .groups_kept = 1};
    EXPECT_EQ(Routed(ops, scores, 2, how).experts(0), (std::vector<std::int32_t>{6, 7}));
    Routing two = how;
    two.groups_kept = 2;
    EXPECT_EQ(Routed(ops, scores, 3, two).experts(0), (std::vector<std::int32_t>{0, 6, 7}));
  });
}

TEST(Route, DividesByNoLessThanTheLeastSum) {
  const Tensor scores = scores_of({-100, -101, -200});
  for_each_table([&](const Ops& ops) {
    const Routed got(ops, scores, 1, {.by = By::sigmoid, .normalised = true, .least = 1, .factor = 2});
    EXPECT_FLOAT_EQ(static_cast<float>(got.weights.get(0, 0)), static_cast<float>(2 * std::exp(-100.)));
    const Routed more(ops, scores, 1, {.by = By::sigmoid, .normalised = true, .more = 1});
    EXPECT_FLOAT_EQ(static_cast<float>(more.weights.get(0, 0)), static_cast<float>(std::exp(-100.)));
  });
}

// 2 and 1.99 are near each other, 1.5 is not; then 1.99 has none beside it.
TEST(Route, SparseMixer) {
  const Tensor scores = scores_of({1.5f, 1.99f, 2, -3});
  for_each_table([&](const Ops& ops) {
    const Routed got(ops, scores, 2, {.by = By::sparse_mixer, .tolerance = 0.02f});
    EXPECT_EQ(got.experts(0), (std::vector<std::int32_t>{1, 2}));
    EXPECT_NEAR(got.weights.get(0, 0), 1, 1e-7);
    EXPECT_NEAR(got.weights.get(0, 1), 1 / (1 + std::exp(-0.01)), 1e-6);
  });
}

// Matrices of experts, each in memory of its own.
struct Matrices {
  std::vector<Tensor> plain;
  std::vector<std::vector<std::byte>> memory;
  std::vector<quant::Matrix> quantized;
  std::vector<std::int64_t> addresses;
  std::string name;

  Matrices(DType dtype, std::int64_t experts, std::int64_t out, std::int64_t in) : name(name_of(dtype)) {
    for (std::int64_t e = 0; e < experts; ++e) {
      plain.push_back(Tensor(dtype, {out, in}).random(e + 3));
      addresses.push_back(reinterpret_cast<std::int64_t>(plain.back().view().data));
      addresses.push_back(0);
    }
  }
  Matrices(quant::Format format, std::int64_t experts, std::int64_t out, std::int64_t in)
      : name(quant::name_of(format)) {
    for (std::int64_t e = 0; e < experts; ++e) {
      quant::Matrix m{.format = format, .out = out, .in = in};
      m.codes = m.codes_in(memory.emplace_back(m.code_bytes()).data());
      m.scales = m.scales_in(memory.emplace_back(m.scale_bytes() + 1).data());
      if (m.traits().encode != nullptr) {
        quant::encode(Tensor(DType::f32, {out, in}).random(e + 3).view(), m, 0, m.units());
      } else {
        std::ranges::copy(support::random_blocks(format, out * in, static_cast<std::uint64_t>(e)),
                          m.codes.as<std::byte>());
      }
      quantized.push_back(m);
      addresses.push_back(reinterpret_cast<std::int64_t>(m.codes.data));
      addresses.push_back(reinterpret_cast<std::int64_t>(m.scales.data));
    }
  }
  void give(Linear& l, std::size_t e) const {
    if (quantized.empty()) {
      l.weight = plain[e].view();
    } else {
      l.quantized = quantized[e];
    }
  }
};

// Each row as `linear` gives it by its expert's matrix: experts without rows, with one, a few, many; more of few rows
// than are made at once.
TEST(ExpertLinear, IsLinearByEachExpert) {
  const auto check = [](const Ops& ops, const Matrices& m, const std::vector<std::int64_t>& counts, std::int64_t out,
                        std::int64_t in, bool of_call) {
    std::vector<std::int32_t> starts{0};
    for (const std::int64_t n : counts) starts.push_back(starts.back() + static_cast<std::int32_t>(n));
    const std::int64_t rows = starts.back(), experts = std::ssize(counts);
    const Tensor x = Tensor(DType::f32, {rows, in}, in + 3).random(1),
                 bias = Tensor(DType::f32, {experts, out}).random(2);
    Tensor got(DType::f32, {rows, out}, out + 5), want(DType::f32, {rows, out}, out + 5);
    const auto device = ops.open(3);
    Linear all{.x = x.view(), .bias = bias.view(), .out = got.view(), .outlier_threshold = 1.5f};
    all.outliers_of_call = of_call;
    m.give(all, 0);
    std::vector<std::byte> scratch(all.quantized ? ops.linear_scratch(all.quantized, rows) + 64 : 64);
    auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(scratch.data()) + 63) / 64 * 64);
    all.scratch = View(aligned, DType::u8, {std::ssize(scratch) - 64});
    ops.expert_linear(*device, {.pairs = all,
                                .starts = View(starts.data(), DType::i32, {experts + 1}),
                                .addresses = View(m.addresses.data(), DType::i64, {experts, 2})});
    got.check_guard();
    for (std::int64_t e = 0; e < experts; ++e) {
      const std::int64_t first = starts[static_cast<std::size_t>(e)], n = counts[static_cast<std::size_t>(e)];
      if (n == 0) continue;
      Linear one = all;
      m.give(one, static_cast<std::size_t>(e));
      one.x = x.view().rows(first, n), one.out = want.view().rows(first, n);
      one.bias = View(bias.view().as<float>() + e * out, DType::f32, {out});
      ops.linear(*device, one);
    }
    for (std::int64_t r = 0; r < rows; ++r) EXPECT_EQ(bits_of(got, r), bits_of(want, r)) << m.name << ", row " << r;
  };
  const std::vector<std::int64_t> mixed{1, 0, 4, 5, 1, 30, 0, 2};
  std::vector<std::int64_t> decode(70, 2);
  decode[3] = 0;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const Matrices small(dtype, 8, 53, 77), many(dtype, 70, 5, 40);
    for_each_table([&](const Ops& ops) {
      check(ops, small, mixed, 53, 77, false);
      check(ops, many, decode, 5, 40, false);
    });
  }
  for (const quant::Format format : quant::formats()) {
    if (quant::traits(format).most_columns == 0) continue;
    const std::int64_t in = quant::traits(format).columns_multiple == 256 ? 512 : 192;
    const Matrices small(format, 8, 53, in), many(format, 70, 5, in);
    for_each_table([&](const Ops& ops) {
      check(ops, small, mixed, 53, in, false);
      check(ops, many, decode, 5, in, false);
      if (format == quant::Format::int8) check(ops, small, mixed, 53, in, true);
    });
  }
}

TEST(Mix, EqualsNaive) {
  for (const std::int64_t n : {1, 3, 8, 17, 64, 257}) {
    for (const std::int64_t chosen : {1, 2, 8}) {
      constexpr std::int64_t kRows = 5;
      const Tensor x = Tensor(DType::f32, {kRows * chosen, n}, n + 3).random(1, 4);
      const Tensor weights = Tensor(DType::f32, {kRows, chosen}, chosen + 1).random(2);
      std::vector<std::int32_t> places(static_cast<std::size_t>(kRows * chosen));
      for (std::size_t i = 0; i < places.size(); ++i)
        places[i] = static_cast<std::int32_t>((i * 7 + 3) % places.size());
      const auto run = [&](const Ops& o, std::int64_t first, std::int64_t count, bool placed) {
        Tensor out = Tensor(DType::f32, {kRows, n}, n + 2).random(3, 4);
        Mix a{.x = placed ? x.view() : x.view().rows(first, count), .weights = weights.view().rows(first, count)};
        if (placed) {
          a.places = View(places.data() + first * chosen, DType::i32, {count, chosen});
          a.add = out.view().rows(first, count);
        }
        a.out = out.view().rows(first, count);
        o.mix(*o.open(2), a);
        out.check_guard();
        return out;
      };
      for (const bool placed : {true, false}) {
        if (!placed && chosen > 1) continue;
        const Tensor want = run(table("naive"), 0, kRows, placed);
        for_each_table([&](const Ops& ops) {
          const Tensor got = run(ops, 0, kRows, placed), alone = run(ops, kRows - 1, 1, placed);
          const auto products = static_cast<double>(chosen);  // of values <= 4 and weights <= 1, each sum rounded once
          expect_near(
              got, want, [&](auto, auto) { return 2 * kUnit * (products * (4 * products) + 4); }, "mix");
          EXPECT_EQ(bits_of(got, kRows - 1), bits_of(alone, kRows - 1));
        });
      }
    }
  }
}

}  // namespace
}  // namespace pkv::kernels
