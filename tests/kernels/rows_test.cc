// embed, norm, angles, rotate, pick against naive, and their row law.
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

TEST(Rotate, EqualsNaive) {
  for_each_table([](const Ops& ops) {
    for (const std::int64_t half : {1, 2, 3, 4, 7, 8, 12, 16, 20, 32, 33, 64}) {
      const std::int64_t rows = 9;
      Tensor got = Tensor(DType::f32, {rows, 2, 3, 2 * half}, 6 * half * 2 + 5).random(1);
      Tensor want = Tensor(DType::f32, {rows, 2, 3, 2 * half}, 6 * half * 2 + 5).random(1);
      const Tensor positions = ints({0, 1, 2, 3, 1000, 70000, 99999, 5, 6});
      const auto run = [&](const Ops& o, const Tensor& x) {
        Tensor cos(DType::f32, {rows, half}), sin(DType::f32, {rows, half});
        const auto device = o.open(2);
        o.angles(*device, {flat(positions), cos.view(), sin.view(), 10000});
        o.rotate(*device, {x.view(), cos.view(), sin.view()});
        cos.check_guard();
        x.check_guard();
      };
      run(ops, got);
      run(table("naive"), want);
      expect_near(
          got, want, [&](auto, auto) { return 4 * kUnit; }, "rotate");  // two products and a sum of values <= 1
    }
  });
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
