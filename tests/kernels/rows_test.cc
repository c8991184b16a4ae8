// embed, norm, angles, rotate, gate, scale, pick against naive, and their row law.
#include <rapidcheck.h>

#include <bit>
#include <cmath>
#include <iterator>

#include "base/random.h"
#include "support.h"

namespace pkv::kernels {
namespace {

const std::vector<std::int64_t> kAwkward = {1,  2,  3,  5,  7,  8,   9,   15,  16,  17,
                                            31, 33, 63, 64, 65, 127, 255, 256, 257, 768};

View flat(const Tensor& t) { return View(t.view().data, t.view().dtype, {t.columns()}); }

// How far a norm may be from the definition, in each element of row r. The mean is a sum of n values of at most
// `largest`, whose roundings, of random sign, leave sqrt(n) units of it; it moves every element by that over sigma, the
// root of var + eps. The variance's roundings and the root's move an element by as many units of itself. Then product
// and sum, of weights and biases below 1, round once each. All of it times a margin of 4.
Bounds norm_bounds(const Tensor& x, double largest, double eps) {
  const double n = static_cast<double>(x.columns()), root = std::sqrt(n);
  Bounds bounds;
  for (const std::vector<double>& row : x.values()) {
    double mean = 0, square = 0;
    for (const double v : row) mean += v / n;
    for (const double v : row) square += (v - mean) * (v - mean) / n;
    const double sigma = std::sqrt(square + eps);
    std::vector<double>& of_row = bounds.emplace_back();
    for (const double v : row) {
      const double normalised = std::fabs(v - mean) / sigma;
      of_row.push_back(4 * kUnit * ((n == 1 ? 0 : root * largest / sigma) + normalised * (root + 4) + 2));
    }
  }
  return bounds;
}

struct NormCase {
  float largest, eps;  // of values as large as 1e-3 the variance is 3e-7: there eps decides
};

TEST(Norm, EqualsNaive) {
  for (const NormCase c : {NormCase{4, 1e-5f}, {1e-3f, 1e-5f}, {1e-3f, 1e-6f}, {1e-3f, 1e-12f}}) {
    for (const std::int64_t n : kAwkward) {
      for (const bool bias : {false, true}) {
        const std::int64_t rows = 1 + n % 5;
        const Tensor x = Tensor(DType::f32, {rows, n}, n + 3).random(1, c.largest);
        const Tensor w = Tensor(DType::f32, {1, n}).random(2), b = Tensor(DType::f32, {1, n}).random(3);
        const auto run = [&](const Ops& o) {
          Tensor out(DType::f32, {rows, n}, n + 1);
          o.norm(*o.open(2), {x.view(), flat(w), bias ? flat(b) : View(), out.view(), c.eps});
          out.check_guard();
          return out;
        };
        const Tensor want = run(table("naive"));
        const Bounds bounds = norm_bounds(x, c.largest, c.eps);
        for_each_table([&](const Ops& ops) {
          expect_near(run(ops), want, bounds,
                      "norm of " + std::to_string(n) + " values up to " + std::to_string(c.largest) + ", eps " +
                          std::to_string(c.eps));
        });
      }
    }
  }
}

// Each group of a row is normalised by itself, with a weight that all share or one of its own; the mean may be taken
// for 0; weights and biases may be missing. In place, and each group as a row alone would be.
TEST(Norm, GroupsAndRootMeanSquare) {
  constexpr std::int64_t kRows = 3, kGroups = 4;
  for (const std::int64_t n : {1, 2, 5, 8, 12, 64, 80, 129}) {
    for (const int form : {0, 1, 2, 3}) {
      const bool centred = form == 1, own = form == 2, bare = form == 3;
      const Tensor w = Tensor(DType::f32, {kGroups, n}).random(2), b = Tensor(DType::f32, {kGroups, n}).random(3);
      const View one(w.view().data, DType::f32, {n}), one_bias(b.view().data, DType::f32, {n});
      const auto run = [&](const Ops& o, bool grouped) {
        Tensor x = Tensor(DType::f32, {kRows, kGroups, n}, kGroups * n + 3).random(1, 4);
        Norm a{.x = x.view(), .weight = own ? w.view() : one, .eps = 1e-3f, .centred = centred};
        if (bare) a.weight = {};
        if (centred) a.bias = own ? b.view() : one_bias;
        a.out = a.x;
        if (grouped) {
          o.norm(*o.open(2), a);
        } else {
          for (std::int64_t g = 0; g < kGroups; ++g) {
            Norm alone = a;
            alone.x = View(x.view().as<float>() + g * n, DType::f32, {kRows, n});
            alone.x.stride[0] = x.view().step(0);
            alone.out = alone.x;
            if (own) alone.weight = View(w.view().as<float>() + g * n, DType::f32, {n});
            o.norm(*o.open(1), alone);
          }
        }
        x.check_guard();
        return x;
      };
      const Tensor want = run(table("naive"), true);
      const std::string what = std::to_string(n) + " values, form " + std::to_string(form);
      // As norm_bounds has it, of values below 4: a sum of n and eps 1e-3 leave the root above 0.03.
      const double root = std::sqrt(static_cast<double>(n));
      const double bound = 4 * kUnit * ((centred ? root * 4 / 0.03 : 0) + (root + 4) * (root + 1) + 2);
      for_each_table([&](const Ops& ops) {
        const Tensor got = run(ops, true), apart = run(ops, false);
        expect_near(
            got, want, [&](auto, auto) { return bound; }, what);
        for (std::int64_t r = 0; r < kRows; ++r) EXPECT_EQ(bits_of(got, r), bits_of(apart, r)) << what;
      });
    }
  }
}

// The bound is tight enough to see an eps that is off by a hundredth.
TEST(Norm, TheBoundTellsAnotherEps) {
  for (const std::int64_t n : kAwkward) {
    if (n == 1) continue;  // its distance to its mean is nothing, whatever eps is
    const Tensor x = Tensor(DType::f32, {1, n}).random(1, 1e-3f), w = Tensor(DType::f32, {1, n}).fill(1);
    Tensor right(DType::f32, {1, n}), wrong(DType::f32, {1, n});
    const Ops& naive = table("naive");
    naive.norm(*naive.open(1), {x.view(), flat(w), {}, right.view(), 1e-6f});
    naive.norm(*naive.open(1), {x.view(), flat(w), {}, wrong.view(), 1.01e-6f});
    const Bounds bounds = norm_bounds(x, 1e-3, 1e-6);
    bool seen = false;
    for (std::int64_t i = 0; i < n; ++i) {
      seen |= std::fabs(right.get(0, i) - wrong.get(0, i)) > bounds[0][static_cast<std::size_t>(i)];
    }
    EXPECT_TRUE(seen) << n;
  }
}

TEST(Norm, InPlaceAndAlone) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t n : {5, 16, 37, 768}) {
      const std::int64_t rows = 70;
      Tensor x = Tensor(DType::f32, {rows, n}).fill(std::nanf(""));
      const Tensor one = Tensor(DType::f32, {1, n}).random(1), w = Tensor(DType::f32, {1, n}).random(2);
      for (std::int64_t i = 0; i < n; ++i) x.set(41, i, static_cast<float>(one.get(0, i)));
      Tensor alone(DType::f32, {1, n});
      ops.norm(*ops.open(1), {one.view(), flat(w), {}, alone.view(), 1e-5f});
      ops.norm(*ops.open(3), {x.view(), flat(w), {}, x.view(), 1e-5f});
      EXPECT_EQ(bits_of(alone, 0), bits_of(x, 41)) << n;
      x.check_guard();
    }
  });
}

TEST(Embed, EqualsNaive) {
  for_each_table([](const Ops& ops) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (const std::int64_t n : kAwkward) {
        for (const bool add : {false, true}) {
          for (const int misalign : {0, 1}) {
            const Tensor w = Tensor(dtype, {11, n}, 0, misalign).random(1);
            const Tensor ids = ints({10, 0, 3, 3, 7});
            Tensor got = Tensor(DType::f32, {5, n}, n + 2).random(2),
                   want = Tensor(DType::f32, {5, n}, n + 2).random(2);
            ops.embed(*ops.open(2), {flat(ids), w.view(), got.view(), add});
            table("naive").embed(*table("naive").open(1), {flat(ids), w.view(), want.view(), add});
            got.check_guard();
            expect_near(
                got, want, [&](auto, auto) { return 0.; }, "embed");  // one rounding each
          }
        }
      }
    }
  });
}

TEST(Embed, ScalesWhatItTakes) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t n : {1, 7, 37}) {
      const Tensor w = Tensor(DType::bf16, {5, n}).random(1), ids = ints({4, 0});
      Tensor got(DType::f32, {2, n}), want(DType::f32, {2, n});
      ops.embed(*ops.open(1), {.ids = flat(ids), .table = w.view(), .out = got.view(), .scale = 7.3f});
      table("naive").embed(*table("naive").open(1),
                           {.ids = flat(ids), .table = w.view(), .out = want.view(), .scale = 7.3f});
      expect_near(
          got, want, [&](auto, auto) { return 0.; }, "embed by 7.3");  // one rounding each
    }
  });
}

// Frequencies of n pairs, and three positions beyond any context that models have now.
Tensor frequencies(std::int64_t n) {
  Tensor f(DType::f32, {1, n});
  for (std::int64_t i = 0; i < n; ++i) {
    f.set(0, i, static_cast<float>(std::pow(10000., -static_cast<double>(i) / static_cast<double>(n))));
  }
  return f;
}

TEST(Rotate, EqualsNaive) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t pairs : {1, 2, 3, 4, 7, 8, 12, 16, 20, 32, 33, 64}) {
      for (const bool neighbours : {false, true}) {
        for (const std::int64_t rest : {0, 3}) {  // elements that do not turn
          const std::int64_t rows = 9, dim = 2 * pairs + rest;
          Tensor got = Tensor(DType::f32, {rows, 2, 3, dim}, 6 * dim + 5).random(1);
          Tensor want = Tensor(DType::f32, {rows, 2, 3, dim}, 6 * dim + 5).random(1);
          const Tensor before = Tensor(DType::f32, {rows, 2, 3, dim}, 6 * dim + 5).random(1);
          const Tensor positions = ints({0, 1, 2, 3, 1000, 70000, 999999, 5, 6}), f = frequencies(pairs);
          const auto run = [&](const Ops& o, const Tensor& x) {
            Tensor cos(DType::f32, {rows, pairs}), sin(DType::f32, {rows, pairs});
            const auto device = o.open(2);
            o.angles(*device, {.positions = flat(positions),
                               .frequencies = flat(f),
                               .cos = cos.view(),
                               .sin = sin.view(),
                               .factor = 1.25f});
            o.rotate(*device, {.x = x.view(), .cos = cos.view(), .sin = sin.view(), .neighbours = neighbours});
            cos.check_guard();
            x.check_guard();
          };
          run(ops, got);
          run(table("naive"), want);
          expect_near(
              got, want, [&](auto, auto) { return 5 * kUnit; }, "rotate");  // two products and a sum of values <= 1.25
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t c = 2 * pairs; c < dim; ++c) EXPECT_EQ(got.get(r, c), before.get(r, c));
          }
        }
      }
    }
  });
}

// What is turned is what the formula says, by the exact product of position and frequency.
TEST(Rotate, TurnsPairsByPositionTimesFrequency) {
  constexpr std::int32_t kFar = 131072;
  const Tensor positions = ints({kFar}), f = frequencies(3);
  Tensor cos(DType::f32, {1, 3}), sin(DType::f32, {1, 3});
  for_each_table([&](const Ops& ops) {
    for (const bool neighbours : {false, true}) {
      const auto device = ops.open(1);
      ops.angles(*device, {flat(positions), flat(f), cos.view(), sin.view()});
      Tensor x(DType::f32, {1, 1, 1, 6});
      for (int i = 0; i < 6; ++i) x.set(0, i, static_cast<float>(i + 1));
      ops.rotate(*device, {.x = x.view(), .cos = cos.view(), .sin = sin.view(), .neighbours = neighbours});
      for (int i = 0; i < 3; ++i) {
        const int first = neighbours ? 2 * i : i, second = neighbours ? 2 * i + 1 : i + 3;
        const double angle = f.get(0, i) * kFar, a = first + 1, b = second + 1;
        EXPECT_NEAR(x.get(0, first), a * std::cos(angle) - b * std::sin(angle), 16 * kUnit) << ops.name << i;
        EXPECT_NEAR(x.get(0, second), b * std::cos(angle) + a * std::sin(angle), 16 * kUnit) << ops.name << i;
      }
    }
  });
}

TEST(Gate, EqualsNaive) {
  for (const Act act : {Act::silu, Act::gelu_tanh, Act::gelu, Act::relu2, Act::sigmoid, Act::identity}) {
    for (const std::int64_t n : kAwkward) {
      const std::int64_t rows = 1 + n % 5;
      const Tensor up = Tensor(DType::f32, {rows, n}, n + 2).random(2, 4);
      const auto run = [&](const Ops& o, std::int64_t first, std::int64_t count) {
        Tensor x = Tensor(DType::f32, {rows, n}, n + 3).random(1, 4);  // in place, as gates are used
        const View part = x.view().rows(first, count);
        o.gate(*o.open(2), {.x = part, .up = up.view().rows(first, count), .out = part, .act = act});
        x.check_guard();
        return x;
      };
      const Tensor want = run(table("naive"), 0, rows);
      for_each_table([&](const Ops& ops) {
        const Tensor got = run(ops, 0, rows), alone = run(ops, rows - 1, 1);
        // math-inl.h: at most 8 units and 3 u, u <= 1.6 * 4 * (1 + 0.045 * 16), of a function below 16; times 4.
        expect_near(
            got, want, [&](auto, auto) { return 4 * 16 * kUnit * (8 + 3 * 11 + 1); }, "gate of " + std::to_string(n));
        EXPECT_EQ(bits_of(got, rows - 1), bits_of(alone, rows - 1)) << n;
      });
    }
  }
}

// Both limits are reached; both numbers of a pair side by side, or apart.
TEST(Gate, Limited) {
  for (const bool neighbours : {true, false}) {
    for (const std::int64_t n : kAwkward) {
      const std::int64_t rows = 1 + n % 5;
      const Tensor up = Tensor(DType::f32, {rows, n}, n + 2).random(2, 4);
      const auto run = [&](const Ops& o, std::int64_t first, std::int64_t count) {
        Tensor x = Tensor(DType::f32, {rows, 2 * n}, 2 * n + 3).random(1, 4);
        const View part = x.view().rows(first, count);
        o.gate(*o.open(2), {.x = neighbours ? part : part.columns(0, n),
                            .up = neighbours ? View() : up.view().rows(first, count),
                            .out = part.columns(0, n),
                            .act = Act::quick_gelu,
                            .neighbours = neighbours,
                            .limit = 2.5f});
        x.check_guard();
        return x;
      };
      const Tensor want = run(table("naive"), 0, rows);
      for_each_table([&](const Ops& ops) {
        const Tensor got = run(ops, 0, rows), alone = run(ops, rows - 1, 1);
        // As above: of a function below 2.5, times at most 3.5.
        expect_near(
            got, want, [&](auto, auto) { return 4 * 2.5 * 3.5 * kUnit * (8 + 3 * 11 + 2); },
            "gate of " + std::to_string(n));
        EXPECT_EQ(bits_of(got, rows - 1), bits_of(alone, rows - 1)) << n;
      });
    }
  }
  const Ops& naive = table("naive");
  Tensor x(DType::f32, {1, 4}), out(DType::f32, {1, 2});
  for (const auto& [i, value] : {std::pair{0, 9.f}, {1, -9.f}, {2, -1.f}, {3, 2.f}}) x.set(0, i, value);
  naive.gate(*naive.open(1),
             {.x = x.view(), .out = out.view(), .act = Act::quick_gelu, .neighbours = true, .limit = 7});
  EXPECT_NEAR(out.get(0, 0), (1 - 7) * 7 / (1 + std::exp(-1.702 * 7)), 1e-5);
  EXPECT_NEAR(out.get(0, 1), (1 + 2) * -1 / (1 + std::exp(1.702)), 1e-6);
}

TEST(Gate, Xielu) {
  Tensor parameters(DType::f32, {1, 4});
  const float of[] = {0.8f, 1.1f, 0.5f, -1e-6f};
  for (int i = 0; i < 4; ++i) parameters.set(0, i, of[i]);
  for (const float scale : {1e-7f, 0.01f, 1.f, 20.f}) {
    for (const std::int64_t n : kAwkward) {
      const auto run = [&](const Ops& o) {
        Tensor x = Tensor(DType::f32, {2, n}, n + 3).random(1, scale);
        o.gate(*o.open(1), {.x = x.view(), .out = x.view(), .xielu = flat(parameters)});
        x.check_guard();
        return x;
      };
      const Tensor want = run(table("naive"));
      for_each_table([&](const Ops& ops) {
        // Each summand below (p + n + b) times the larger of scale and its square, rounded five times at most, and what
        // min(x, e) leaves of x.
        const double size = 2.4 * std::max<double>(scale, scale * scale);
        expect_near(
            run(ops), want, [&](auto, auto) { return 8 * kUnit * (size + 1e-6); }, "xielu");
      });
    }
  }
}

TEST(Scale, EqualsNaive) {
  for (const float cap : {0.f, 0.5f, 3.f}) {
    for (const std::int64_t n : kAwkward) {
      const std::int64_t rows = 1 + n % 5;
      const auto run = [&](const Ops& o, std::int64_t first, std::int64_t count) {
        Tensor x = Tensor(DType::f32, {rows, n}, n + 3).random(1, 4);
        const View part = x.view().rows(first, count);
        o.scale(*o.open(2), {.x = part, .out = part, .factor = 0.37f, .cap = cap});
        x.check_guard();
        return x;
      };
      const Tensor want = run(table("naive"), 0, rows);
      for_each_table([&](const Ops& ops) {
        const Tensor got = run(ops, 0, rows), alone = run(ops, rows - 1, 1);
        // A product; then a quotient, tanh within 3 units, and a product, of values below cap or 1.5.
        expect_near(
            got, want, [&](auto, auto) { return cap == 0 ? 0 : 8 * kUnit * std::max<double>(cap, 1.5); }, "scale");
        EXPECT_EQ(bits_of(got, rows - 1), bits_of(alone, rows - 1)) << n;
      });
    }
  }
}

// Every kind of float, those that round to infinity, to subnormal halves or to nothing among them.
void fill_with_odd_floats(Tensor& t) {
  const std::uint32_t ends[] = {0x00000000, 0x80000000, 0x00000001, 0x7f800000, 0xff800000, 0x7f800001,
                                0xffc12345, 0x477fefff, 0x477ff000, 0x33000000, 0x33000001, 0x38800000,
                                0x387fe000, 0x7f7fffff, 0x3f808000, 0x3f818000, 0x3f801000, 0x3f803000};
  std::uint64_t n = 0;
  for (std::int64_t r = 0; r < t.rows(); ++r) {
    for (std::int64_t c = 0; c < t.columns(); ++c, ++n) {
      auto bits = n % 3 == 0 ? ends[n / 3 % std::size(ends)] : static_cast<std::uint32_t>(random_bits(9, n));
      if ((bits & 0x7fffffffu) > 0x7f800000u) bits |= 0x400000u;  // conversions quieten NaN, moves need not
      t.set(r, c, std::bit_cast<float>(bits));
    }
  }
}

TEST(Convert, EqualsNaiveBitForBit) {
  const std::vector<DType> formats = {DType::f32, DType::f16, DType::bf16};
  for_each_table([&](const Ops& ops) {
    for (const DType from : formats) {
      for (const DType to : formats) {
        for (const std::int64_t n : kAwkward) {
          for (const bool transpose : {false, true}) {
            const std::int64_t rows = 1 + n * 7 % 71;
            Tensor x(from, {rows, n}, 0, n % 2 == 0 ? 1 : 0);
            fill_with_odd_floats(x);
            const std::vector<std::int64_t> shape = transpose ? std::vector{n, rows} : std::vector{rows, n};
            Tensor got(to, shape, shape[1] + 3), want(to, shape, shape[1] + 3);
            ops.convert(*ops.open(3), {x.view(), got.view(), transpose});
            table("naive").convert(*table("naive").open(1), {x.view(), want.view(), transpose});
            got.check_guard();
            for (std::int64_t r = 0; r < shape[0]; ++r) {
              ASSERT_EQ(bits_of(got, r), bits_of(want, r))
                  << ops.name << ", " << name_of(from) << " to " << name_of(to) << ", [" << rows << ", " << n
                  << "], row " << r << (transpose ? " of the transposed" : "");
            }
          }
        }
      }
    }
  });
}

TEST(Add, EqualsNaive) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t n : kAwkward) {
      const std::int64_t rows = 1 + n % 5;
      const Tensor x = Tensor(DType::f32, {rows, n}, n + 3).random(1, 4);
      const Tensor to = Tensor(DType::f32, {rows, n}, n + 2).random(2, 4);
      Tensor got(DType::f32, {rows, n}, n + 1), want(DType::f32, {rows, n}, n + 1);
      const auto run = [&](const Ops& o, const Tensor& out) {
        o.add(*o.open(2), {.x = x.view(), .add = to.view(), .out = out.view(), .scale = 0.37f});
        out.check_guard();
      };
      run(ops, got);
      run(table("naive"), want);
      // The product and the sum are rounded once each at most, naive's once together: values are below 4 * 1.37.
      expect_near(
          got, want, [](auto, auto) { return 3 * 8 * kUnit; }, "add of " + std::to_string(n));
      // In place, and by 1: the sum alone is rounded, so all tables agree to the bit.
      Tensor twice(DType::f32, {rows, n}, n + 1);
      const auto sum = [&](const Ops& o, Tensor& out) {
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = 0; c < n; ++c) out.set(r, c, static_cast<float>(to.get(r, c)));
        }
        o.add(*o.open(1), {.x = x.view(), .add = out.view(), .out = out.view()});
      };
      sum(ops, twice);
      sum(table("naive"), want);
      for (std::int64_t r = 0; r < rows; ++r) EXPECT_EQ(bits_of(twice, r), bits_of(want, r)) << n;
    }
  });
}

TEST(Pick, Copies) {
  for_each_table([](const Ops& ops) {
    const Tensor x = Tensor(DType::f32, {7, 13}, 17).random(1), rows = ints({6, 0, 6, 2});
    Tensor out(DType::f32, {4, 13}, 15);
    ops.pick(*ops.open(2), {x.view(), flat(rows), out.view()});
    out.check_guard();
    const std::int64_t want[] = {6, 0, 6, 2};
    for (std::int64_t r = 0; r < 4; ++r) EXPECT_EQ(bits_of(out, r), bits_of(x, want[r]));
  });
}

}  // namespace
}  // namespace pkv::kernels
