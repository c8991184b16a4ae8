// linear against naive on awkward shapes, and its row law.
#include <rapidcheck.h>

#include <cmath>

#include "base/random.h"
#include "support.h"

namespace pkv::kernels {
namespace {

const std::vector<std::int64_t> kAwkward = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 255, 256, 257};
const std::vector<DType> kFormats = {DType::f32, DType::f16, DType::bf16};

std::string shape(std::int64_t rows, std::int64_t outs, std::int64_t in, DType dtype) {
  return "linear, " + std::to_string(rows) + " rows, " + std::to_string(outs) + " outputs of " + std::to_string(in) +
         " inputs, " + std::string(name_of(dtype));
}

struct Case {
  std::int64_t rows, outs, in;
  DType dtype = DType::f32;
  bool bias = true;
  Act act = Act::identity;
  float clip = 0;
  int add = 0;  // 1: another tensor, 2: the output itself
  std::int64_t pad = 0;
  int misalign = 0;
};

void compare(const Case& c) {
  const Tensor x = Tensor(DType::f32, {c.rows, c.in}, c.in + c.pad).random(1);
  const Tensor w = Tensor(c.dtype, {c.outs, c.in}, 0, c.misalign).random(2);
  const Tensor bias = Tensor(DType::f32, {1, c.outs}).random(3);
  const Tensor add = Tensor(DType::f32, {c.rows, c.outs}, c.outs + c.pad).random(4);
  const auto run = [&](const Ops& o, Tensor& out) {
    if (c.add == 2) out.random(4);
    Linear a{.x = x.view(), .weight = w.view(), .out = out.view(), .clip = c.clip, .act = c.act};
    if (c.bias) a.bias = View(bias.view().data, DType::f32, {c.outs});
    if (c.add != 0) a.add = c.add == 1 ? add.view() : out.view();
    const auto device = o.open(2);
    o.linear(*device, a);
    out.check_guard();
  };
  Tensor want(DType::f32, {c.rows, c.outs}, c.outs + c.pad);
  run(table("naive"), want);
  // Rounding: each of the in/lanes steps and of the folds adds a relative error of at most one unit of the partial sum;
  // errors are of random sign, so sqrt(in) of them, times a margin of 3; the epilogue adds a few units of its result.
  Bounds bounds;
  const auto weights = w.values();
  for (const std::vector<double>& row : x.values()) {
    std::vector<double>& of_row = bounds.emplace_back();
    for (const std::vector<double>& weight : weights) {
      double sum = 1;
      for (std::size_t i = 0; i < row.size(); ++i) sum += std::fabs(row[i] * weight[i]);
      of_row.push_back(3 * (std::sqrt(static_cast<double>(c.in)) + 4) * kUnit * sum);
    }
  }
  for_each_table([&](const Ops& ops) {
    Tensor got(DType::f32, {c.rows, c.outs}, c.outs + c.pad);
    run(ops, got);
    expect_near(got, want, bounds, shape(c.rows, c.outs, c.in, c.dtype));
  });
}

TEST(Linear, EqualsNaiveOnAwkwardShapes) {
  std::uint64_t n = 0;
  for (std::size_t i = 0; i < kAwkward.size(); ++i) {
    for (std::size_t o = 0; o < kAwkward.size(); ++o, ++n) {
      // Every pair of rows and outputs, so every rest of a tile; each in one format, and each format meets every number
      // of rows and of outputs six times. The inputs are drawn: their rest is a path of its own.
      const std::int64_t rows = kAwkward[i], outs = kAwkward[o], in = kAwkward[random_bits(5, n) % kAwkward.size()];
      if (rows * outs * in > 150000) continue;  // the definition is slow
      compare({.rows = rows, .outs = outs, .in = in, .dtype = kFormats[(i + o) % kFormats.size()]});
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(Linear, EqualsNaiveOverSeveralPiecesOfK) {
  for (const std::int64_t in : {1023, 1024, 1025, 1040, 2047, 2064, 3100}) {
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 67}) {
      compare({.rows = rows, .outs = 25, .in = in, .dtype = DType::bf16});
    }
  }
}

// Each number of rows has a path of its own, and each path limits to the length of K that it takes.
TEST(Linear, LongRows) {
  for_each_table([](const Ops& ops) {
    for (const DType dtype : kFormats) {
      for (const std::int64_t in : {2730, 2731, 4096, 4097, 8192, 8193, 32768, 32769, 32784, 40000}) {
        const Tensor x = Tensor(DType::f32, {6, in}).random(1), w = Tensor(dtype, {5, in}).random(2);
        const auto device = ops.open(2);
        Tensor all(DType::f32, {6, 5});
        ops.linear(*device, {.x = x.view(), .weight = w.view(), .out = all.view()});
        for (std::int64_t rows = 1; rows < 6; ++rows) {
          Tensor some(DType::f32, {rows, 5});
          ops.linear(*device, {.x = x.view().rows(0, rows), .weight = w.view(), .out = some.view()});
          some.check_guard();
          for (std::int64_t r = 0; r < rows; ++r) {
            ASSERT_EQ(bits_of(some, r), bits_of(all, r)) << "row " << r << " of " << rows << ", " << in << " inputs";
          }
        }
      }
    }
  });
  for (const DType dtype : kFormats) {
    compare({.rows = 1, .outs = 5, .in = 32784, .dtype = dtype});
    compare({.rows = 3, .outs = 5, .in = 4097, .dtype = dtype});
  }
}

TEST(Linear, Epilogues) {
  for (const std::int64_t rows : {1, 3, 9}) {
    for (const int add : {0, 1, 2}) {
      for (const bool bias : {false, true}) {
        for (const float clip : {0.f, 0.5f}) {
          for (const Act act : {Act::identity, Act::gelu, Act::gelu_tanh, Act::relu, Act::mish}) {
            compare({.rows = rows, .outs = 51, .in = 40, .bias = bias, .act = act, .clip = clip, .add = add, .pad = 7});
          }
        }
      }
    }
  }
}

// The same numbers as those of outputs in order, elsewhere.
TEST(Linear, PutsOutputsInTheirPlaces) {
  constexpr std::int64_t kOuts = 51, kIn = 40;
  std::vector<std::int32_t> order;
  for (std::int32_t o = 0; o < kOuts; ++o) order.push_back((o * 7 + 3) % static_cast<std::int32_t>(kOuts));
  const Tensor places = ints(order);
  const View at(places.view().data, DType::i32, {kOuts});
  for (const DType dtype : kFormats) {
    for (const std::int64_t rows : {1, 3, 30}) {
      const Tensor x = Tensor(DType::f32, {rows, kIn}).random(1), w = Tensor(dtype, {kOuts, kIn}).random(2);
      const Tensor bias = Tensor(DType::f32, {1, kOuts}).random(3), add = Tensor(DType::f32, {rows, kOuts}).random(4);
      Tensor moved_bias(DType::f32, {1, kOuts}), moved_add(DType::f32, {rows, kOuts});
      for (std::int64_t o = 0; o < kOuts; ++o) {
        const std::int64_t to = order[static_cast<std::size_t>(o)];
        moved_bias.set(0, to, static_cast<float>(bias.get(0, o)));
        for (std::int64_t r = 0; r < rows; ++r) moved_add.set(r, to, static_cast<float>(add.get(r, o)));
      }
      for_each_table([&](const Ops& ops) {
        if (!ops.places_outputs) return;
        const Tensor in_order(DType::f32, {rows, kOuts}), moved(DType::f32, {rows, kOuts}, kOuts + 3);
        const auto b = [&](const Tensor& t) { return View(t.view().data, DType::f32, {kOuts}); };
        Linear a{.x = x.view(), .weight = w.view(), .bias = b(bias), .add = add.view(), .out = in_order.view()};
        a.clip = 0.5f, a.act = Act::gelu;
        ops.linear(*ops.open(2), a);
        a.bias = b(moved_bias), a.add = moved_add.view(), a.out = moved.view(), a.places = at;
        ops.linear(*ops.open(2), a);
        moved.check_guard();
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t o = 0; o < kOuts; ++o) {
            ASSERT_EQ(moved.get(r, order[static_cast<std::size_t>(o)]), in_order.get(r, o))
                << ops.name << " row " << r << " output " << o << ' ' << name_of(dtype);
          }
        }
      });
    }
  }
}

TEST(Linear, WeightsMayStartAtAnyByte) {
  for (const DType dtype : kFormats) {
    for (int misalign = 0; misalign < 5; ++misalign) {
      for (const std::int64_t rows : {1, 4, 6}) {
        compare({.rows = rows, .outs = 19, .in = 37, .dtype = dtype, .misalign = misalign});
      }
    }
  }
}

// The law: a row alone, and the same row at any index of any batch, with any number of threads, has the same bits,
// whatever its neighbours hold.
TEST(Linear, ARowDoesNotDependOnItsCall) {
  for_each_table([](const Ops& ops) {
    rc::check("linear obeys the row law", [&ops] {
      const std::int64_t in = *rc::gen::inRange(1, 300) + (*rc::gen::inRange(0, 8) == 0 ? 2000 : 0);
      const std::int64_t outs = *rc::gen::inRange(1, 100);
      const std::int64_t rows = *rc::gen::element(2, 3, 4, 5, 7, 8, 15, 16, 17, 63, 64, 65, 70, 130);
      const DType dtype = *rc::gen::elementOf(kFormats);
      const std::int64_t index = *rc::gen::inRange<std::int64_t>(0, rows);
      const int threads = *rc::gen::element(1, 2, 3, 16);
      const Act act = *rc::gen::element(Act::identity, Act::gelu, Act::gelu_tanh, Act::silu, Act::tanh);
      const Tensor w = Tensor(dtype, {outs, in}).random(1), bias = Tensor(DType::f32, {1, outs}).random(2);
      const Tensor one = Tensor(DType::f32, {1, in}).random(3);
      Tensor x = Tensor(DType::f32, {rows, in}, in + 3).fill(std::nanf(""));
      for (std::int64_t i = 0; i < in; ++i) x.set(index, i, static_cast<float>(one.get(0, i)));
      Tensor alone(DType::f32, {1, outs}), batch(DType::f32, {rows, outs});
      const View b(bias.view().data, DType::f32, {outs});
      ops.linear(*ops.open(1), {.x = one.view(), .weight = w.view(), .bias = b, .out = alone.view(), .act = act});
      ops.linear(*ops.open(threads), {.x = x.view(), .weight = w.view(), .bias = b, .out = batch.view(), .act = act});
      RC_ASSERT(bits_of(alone, 0) == bits_of(batch, index));
    });
  });
}

}  // namespace
}  // namespace pkv::kernels
