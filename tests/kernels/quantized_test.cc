// linear with weights of 8 and 4 bits: every table against naive, which multiplies the decoded values in double; and
// the row law. The formats themselves are tested against bitsandbytes in tests/golden.
#include <rapidcheck.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "support.h"
#include "support/blocks.h"

namespace pkv::kernels {
namespace {

using quant::Format;

// A matrix of random values, quantised.
class Quantized {
 public:
  Quantized(Format format, std::int64_t out, std::int64_t in, std::int64_t block = 64, std::uint64_t seed = 1,
            int misalign = 0, const std::function<void(std::byte* block, std::size_t size)>& change = {}) {
    matrix_.format = format, matrix_.out = out, matrix_.in = in, matrix_.block = block;
    codes_.resize(matrix_.code_bytes() + 8);
    scales_.resize(matrix_.scale_bytes() + 8);
    matrix_.codes = View(codes_.data(), DType::u8, {static_cast<std::int64_t>(matrix_.code_bytes())});
    matrix_.scales = View(scales_.data(), DType::f32, {matrix_.scale_count()});
    if (matrix_.traits().encode != nullptr) {
      const Tensor source = Tensor(DType::f32, {out, in}).random(seed);
      quant::encode(source.view(), matrix_, 0, matrix_.units());
    } else {
      std::ranges::copy(support::random_blocks(format, out * in, seed), codes_.begin());
    }
    const auto size = static_cast<std::size_t>(matrix_.traits().codes.bytes);
    for (std::size_t at = 0; change && at < matrix_.code_bytes(); at += size) change(codes_.data() + at, size);
    if (misalign > 0) {
      std::copy_backward(codes_.begin(), codes_.end() - misalign, codes_.end());
      std::copy_backward(scales_.begin(), scales_.end() - misalign, scales_.end());
      matrix_.codes.data = codes_.data() + misalign;
      matrix_.scales.data = scales_.data() + misalign;
    }
  }
  const quant::Matrix& matrix() const { return matrix_; }
  std::byte* block(std::int64_t element) { return codes_.data() + quant::bytes_of(matrix_.format, element); }
  std::vector<float> row(std::int64_t o) const {
    std::vector<float> values(static_cast<std::size_t>(matrix_.in));
    quant::decode(matrix_, o, 0, values);
    return values;
  }

 private:
  quant::Matrix matrix_;
  std::vector<std::byte> codes_, scales_;
};

class Scratch {
 public:
  Scratch(const quant::Matrix& m, std::int64_t rows)
      : tensor_(DType::f32, {1, static_cast<std::int64_t>(table("naive").linear_scratch(m, rows) / 4) + 32}) {
    auto at = reinterpret_cast<std::uintptr_t>(tensor_.view().data);
    at = (at + 63) / 64 * 64;
    view_ = View(reinterpret_cast<void*>(at), DType::u8,
                 {static_cast<std::int64_t>(table("naive").linear_scratch(m, rows))});
  }
  const View& view() const { return view_; }
  void check() const { tensor_.check_guard(); }

 private:
  Tensor tensor_;
  View view_;
};

struct Shape {
  Format format;
  std::int64_t rows = 1, outs = 1, in = 1, block = 64;
  float peak = 1;  // activations are of this spread
  int misalign = 0;
  bool of_call = false, as_ggml = false;
};

std::string text_of(const Shape& s) {
  return std::string(quant::name_of(s.format)) + " rows " + std::to_string(s.rows) + " outs " + std::to_string(s.outs) +
         " in " + std::to_string(s.in) + " block " + std::to_string(s.block);
}

// How far a product may be from that of the decoded values. 4 bits: half a step of 1/16383 of the largest of 256
// neighbours on each activation, 7.1e-5 on each weight's ratio. Everything: sums in fp32, in pieces of 1024.
// Where a minimum is subtracted, the parts of a product may be as large as twice the largest weight around it.
double allowed(const Shape& s, const std::vector<double>& x, const std::vector<float>& w) {
  double products = 0, rounding = 0, most = 0, weights = 0, around = 0;
  const bool inside = quant::traits(s.format).scaling == quant::Scaling::inside;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i % 256 == 0) rounding += most / 16383 / 2 * weights, most = weights = 0;
    for (std::size_t j = i; inside && i % 16 == 0 && j < i + 16; ++j) {
      around = std::max(j == i ? 0 : around, 2.0 * std::fabs(w[j]));
    }
    const double v = std::fabs(x[i]), u = std::fabs(w[i]);
    products += v * (inside ? around : u);
    most = std::max(most, v);
    weights += u;
  }
  rounding += most / 16383 / 2 * weights;
  const double sums = 64 * kUnit * products;
  if (s.format == Format::int8) return sums;
  return rounding * 1.01 + (s.format == Format::nf4 ? 7.1e-5 : 0) * products + sums;
}

// Every table's product of x [rows, in] against naive's.
void compare_with(const Quantized& w, const Tensor& x, Shape s) {
  s.rows = x.rows(), s.outs = w.matrix().out, s.in = w.matrix().in;
  const auto run = [&](const Ops& ops, const Tensor& out) {
    const Scratch scratch(w.matrix(), s.rows);
    Linear a{.x = x.view(), .out = out.view(), .quantized = w.matrix(), .scratch = scratch.view()};
    a.outliers_of_call = s.of_call, a.as_ggml = s.as_ggml;
    ops.linear(*ops.open(2), a);
    out.check_guard();
    scratch.check();
  };
  const Tensor want(DType::f32, {s.rows, s.outs});
  run(table("naive"), want);
  std::vector<std::vector<float>> decoded;
  for (std::int64_t o = 0; o < s.outs; ++o) decoded.push_back(w.row(o));
  Bounds bounds;
  for (std::vector<double>& row : x.values()) {
    std::vector<float> given(row.begin(), row.end());
    if (s.as_ggml) quant::round_as_ggml(s.format, given, given);
    row.assign(given.begin(), given.end());
    std::vector<double>& of_row = bounds.emplace_back();
    for (const std::vector<float>& weights : decoded) of_row.push_back(allowed(s, row, weights) + 1e-30);
  }
  for_each_table([&](const Ops& ops) {
    if (s.as_ggml && !ops.rounds_as_ggml) return;
    const Tensor got(DType::f32, {s.rows, s.outs}, s.outs + 3);
    run(ops, got);
    expect_near(got, want, bounds, text_of(s));
  });
}

void compare(const Shape& s) {
  const Quantized w(s.format, s.outs, s.in, s.block, 5, s.misalign);
  ASSERT_TRUE(can_multiply(w.matrix()));
  compare_with(w, Tensor(DType::f32, {s.rows, s.in}, s.in + 5).random(7, s.peak), s);
}

const std::vector<Format> kFormats{Format::int8, Format::fp4, Format::nf4};

TEST(Quantized, EveryShape) {
  for (const Format format : kFormats) {
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 7, 31}) {
      for (const std::int64_t outs : {1, 2, 47, 49, 100}) {
        for (const std::int64_t in : {32, 64, 288}) {
          compare({.format = format, .rows = rows, .outs = outs, .in = in});
        }
      }
    }
    for (const std::int64_t in : {1024, 1056, 1088, 2048, 4544}) {
      for (const std::int64_t rows : {1, 3, 6, 127, 128, 129, 131}) {
        compare({.format = format, .rows = rows, .outs = 7, .in = in});
      }
    }
  }
  for (const std::int64_t in : {1, 2, 31, 33, 63, 65, 127, 4097, 16385}) {
    for (const std::int64_t rows : {1, 2, 4, 5, 9})
      compare({.format = Format::int8, .rows = rows, .outs = 6, .in = in});
  }
  for (const std::int64_t block : {32, 64, 128, 256, 4096}) {
    for (const std::int64_t in : {32, 64, 96, 192, 1152}) {
      for (const std::int64_t rows : {1, 4, 6}) {
        compare({.format = Format::nf4, .rows = rows, .outs = 9, .in = in, .block = block});
      }
    }
  }
}

std::vector<Format> formats_of_ggml() {
  std::vector<Format> of_ggml;
  std::ranges::copy_if(quant::formats(), std::back_inserter(of_ggml),
                       [](Format f) { return quant::traits(f).scaling == quant::Scaling::inside; });
  return of_ggml;
}

// The same of what GGUF files hold: from one block a row to several pieces of K and a part of a span.
class QuantizedBlocks : public testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(Each, QuantizedBlocks, testing::ValuesIn(formats_of_ggml()),
                         [](const auto& test) { return std::string(quant::name_of(test.param)); });

TEST_P(QuantizedBlocks, EveryShape) {
  const std::int64_t block = quant::traits(GetParam()).columns_multiple;
  for (const std::int64_t rows : {1, 2, 7, 27}) {
    for (const std::int64_t outs : {1, 49}) {
      for (const std::int64_t blocks : {1, 3}) {
        compare({.format = GetParam(), .rows = rows, .outs = outs, .in = blocks * block});
      }
    }
  }
  const std::vector<std::int64_t> several = block == 256
                                                ? std::vector<std::int64_t>{4, 5, 18}
                                                : std::vector<std::int64_t>{1024 / block, 1088 / block, 576 / block};
  for (const std::int64_t blocks : several) {
    for (const std::int64_t rows : {3, 129}) {
      compare({.format = GetParam(), .rows = rows, .outs = 7, .in = blocks * block, .misalign = 1});
    }
  }
}

// llama.cpp's roundings of activations: the product is that of the rounded rows. In blocks of 256 weights nothing is
// rounded after that, so that only the sums may differ.
TEST_P(QuantizedBlocks, RoundsActivationsAsGgmlDoes) {
  const std::int64_t in = quant::traits(GetParam()).columns_multiple * 5;
  for (const std::int64_t rows : {1, 3, 27}) {
    const Quantized w(GetParam(), 51, in);
    const Tensor x = Tensor(DType::f32, {rows, in}).random(9, 3);
    compare_with(w, x, {.format = GetParam(), .as_ggml = true});
    Tensor coarse(DType::f32, {rows, in});
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::vector<double> row = x.values()[static_cast<std::size_t>(r)];
      std::vector<float> values(row.begin(), row.end());
      quant::round_as_ggml(GetParam(), values, values);
      for (std::int64_t i = 0; i < in; ++i) coarse.set(r, i, values[static_cast<std::size_t>(i)]);
    }
    for_each_table([&](const Ops& ops) {
      if (!ops.rounds_as_ggml) return;
      const Tensor rounds(DType::f32, {rows, 51}), given(DType::f32, {rows, 51});
      const Scratch scratch(w.matrix(), rows);
      Linear a{.x = x.view(), .out = rounds.view(), .quantized = w.matrix(), .scratch = scratch.view()};
      a.as_ggml = true;
      ops.linear(*ops.open(2), a);
      a.as_ggml = false, a.x = coarse.view(), a.out = given.view();
      ops.linear(*ops.open(2), a);
      for (std::int64_t r = 0; r < rows; ++r) EXPECT_EQ(bits_of(rounds, r), bits_of(given, r)) << ops.name;
    });
  }
}

// The largest integers that a format has, all of one sign, against the largest activations: no sum may overflow.
TEST_P(QuantizedBlocks, TheLargestSums) {
  const std::int64_t in = quant::traits(GetParam()).columns_multiple == 256 ? 768 : 1056;
  const support::BlockScales& scales = support::scales_of(GetParam());
  for (const int byte : {0x00, 0xff, 0x80, 0x7f}) {
    const Quantized w(GetParam(), 6, in, 64, 1, 0, [&](std::byte* block, std::size_t size) {
      std::fill(block, block + size, static_cast<std::byte>(byte));
      for (const int at : scales.at) {
        if (at >= 0) store_element(block + at, DType::f16, 0, (at == scales.at[0] ? 1 : 0.25f) / scales.most);
      }
      if (GetParam() == Format::mxfp4) block[0] = std::byte{120};
      if (GetParam() == Format::nvfp4) std::fill(block, block + 4, std::byte{40});
    });
    for (const float sign : {1.f, -1.f}) {
      for (const std::int64_t rows : {1, 26})
        compare_with(w, Tensor(DType::f32, {rows, in}).fill(sign), {.format = GetParam()});
    }
  }
}

// Formats whose scales are of 16 bits: those may be infinite.
std::vector<Format> formats_with_halves() {
  std::vector<Format> all = formats_of_ggml();
  std::erase_if(all, [](Format f) { return support::scales_of(f).at[0] < 0; });
  return all;
}
class SpoiltBlocks : public testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(Each, SpoiltBlocks, testing::ValuesIn(formats_with_halves()),
                         [](const auto& test) { return std::string(quant::name_of(test.param)); });

// A scale that is infinite or no number spoils the output of its own row alone.
TEST_P(SpoiltBlocks, StayInTheirRow) {
  const support::BlockScales& scales = support::scales_of(GetParam());
  const std::int64_t in = quant::traits(GetParam()).columns_multiple * 2;
  for (const float spoilt : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    Quantized w(GetParam(), 7, in);
    const Tensor x = Tensor(DType::f32, {30, in}).random(3);
    for_each_table([&](const Ops& ops) {
      const auto run = [&](std::int64_t rows) {
        const Tensor out(DType::f32, {rows, 7});
        const Scratch scratch(w.matrix(), rows);
        ops.linear(
            *ops.open(1),
            {.x = x.view().rows(0, rows), .out = out.view(), .quantized = w.matrix(), .scratch = scratch.view()});
        return out;
      };
      for (const std::int64_t rows : {1, 30}) {
        const Tensor before = run(rows);
        std::byte* block = w.block(3 * in);
        const f16 kept = load_element<f16>(block + scales.at[0], 0);
        store_element(block + scales.at[0], DType::f16, 0, spoilt);
        const Tensor after = run(rows);
        store_element(block + scales.at[0], 0, kept);
        for (std::int64_t o = 0; o < 7; ++o) {
          EXPECT_EQ(std::isfinite(after.get(0, o)), o != 3) << o;
          if (o == 3) continue;
          EXPECT_EQ(after.get(0, o), before.get(0, o)) << o;
        }
      }
    });
  }
}

// Rows of an embedding are the decoded values, times a factor.
TEST_P(QuantizedBlocks, AreTakenFromATable) {
  const std::int64_t in = quant::traits(GetParam()).columns_multiple * 3;
  const Quantized w(GetParam(), 5, in, 64, 3, 1);
  const Tensor ids = ints({4, 0, 4, 2});
  for_each_table([&](const Ops& ops) {
    for (const float scale : {1.f, 7.3f}) {
      Tensor got = Tensor(DType::f32, {4, in}, in + 3);
      ops.embed(
          *ops.open(2),
          {.ids = View(ids.view().data, DType::i32, {4}), .out = got.view(), .scale = scale, .quantized = w.matrix()});
      got.check_guard();
      for (const std::int64_t r : {0, 1, 2, 3}) {
        const std::vector<float> values = w.row(std::vector{4, 0, 4, 2}[static_cast<std::size_t>(r)]);
        for (std::int64_t i = 0; i < in; ++i) {
          ASSERT_EQ(got.get(r, i), values[static_cast<std::size_t>(i)] * scale) << r << ", " << i;
        }
      }
    }
  });
}

TEST(Quantized, FilesMayStartAtAnyByte) {
  for (const Format format : kFormats) {
    for (int misalign = 1; misalign < 8; ++misalign) {
      for (const std::int64_t rows : {1, 6}) {
        compare({.format = format, .rows = rows, .outs = 9, .in = 192, .misalign = misalign});
      }
    }
  }
}

TEST(Quantized, Outliers) {
  for (const bool of_call : {false, true}) {
    for (const float peak : {2.f, 4.f, 100.f}) {  // a few outliers, many, nearly all
      for (const std::int64_t rows : {1, 2, 5, 33, 130}) {
        compare({.format = Format::int8, .rows = rows, .outs = 9, .in = 130, .peak = peak, .of_call = of_call});
      }
    }
  }
}

TEST(Quantized, WhatIsNotANumberStaysInItsRow) {
  for_each_table([](const Ops& ops) {
    for (const Format format : kFormats) {
      for (const std::int64_t rows : {3, 7}) {
        const Quantized w(format, 5, 320);
        Tensor x = Tensor(DType::f32, {rows, 320}).random(3);
        x.set(1, 300, std::nanf(""));
        Tensor out(DType::f32, {rows, 5});
        const Scratch scratch(w.matrix(), rows);
        ops.linear(*ops.open(1),
                   {.x = x.view(), .out = out.view(), .quantized = w.matrix(), .scratch = scratch.view()});
        for (std::int64_t r = 0; r < rows; ++r) EXPECT_EQ(std::isnan(out.get(r, 4)), r == 1) << r;
      }
    }
  });
}

// Encoding is bit for bit the definition, decoding gives its values.
TEST(Quantized, EncodeAndDecode) {
  for_each_table([](const Ops& ops) {
    for (const Format format : kFormats) {
      for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
        for (const auto& [out, in] : std::vector<std::pair<std::int64_t, std::int64_t>>{
                 {1, 1}, {1, 63}, {3, 65}, {5, 96}, {7, 1030}, {2, 4096}, {61, 700}}) {
          for (const std::int64_t block : {32, 64, 4096}) {
            Tensor from = Tensor(dtype, {out, in}, 0, 1).random(9, 3);
            for (std::int64_t i = 0; i < in; i += 7) from.set(0, i, 0);
            if (in > 100) from.set(0, 99, 1e-40f);
            for (std::int64_t i = 0; out > 2 && i < in; ++i) from.set(2, i, 0);
            quant::Matrix m;
            m.format = format, m.out = out, m.in = in, m.block = block, m.decoded = dtype;
            const auto bytes = static_cast<std::int64_t>(m.code_bytes());
            Tensor codes[2]{Tensor(DType::f32, {1, bytes / 4 + 2}), Tensor(DType::f32, {1, bytes / 4 + 2})};
            Tensor scales[2]{Tensor(DType::f32, {1, m.scale_count()}), Tensor(DType::f32, {1, m.scale_count()})};
            for (const int i : {0, 1}) {
              m.codes = View(codes[i].view().data, DType::u8, {bytes});
              m.scales = View(scales[i].view().data, DType::f32, {m.scale_count()});
              if (i == 0) {
                quant::encode(from.view(), m, 0, m.units());
              } else {
                ops.encode(*ops.open(2), {.from = from.view(), .to = m});
              }
            }
            const std::string what = std::string(quant::name_of(format)) + " " + std::to_string(out) + "x" +
                                     std::to_string(in) + " block " + std::to_string(block);
            ASSERT_EQ(bits_of(codes[0], 0), bits_of(codes[1], 0)) << what;
            ASSERT_EQ(bits_of(scales[0], 0), bits_of(scales[1], 0)) << what;
            Tensor decoded(dtype, {out, in}, in + 3);
            ops.decode(*ops.open(2), {.from = m, .to = decoded.view()});
            decoded.check_guard();
            for (std::int64_t o = 0; o < out; ++o) {
              std::vector<float> row(static_cast<std::size_t>(in));
              quant::decode(m, o, 0, row);
              Tensor expected(dtype, {1, in});
              for (std::int64_t i = 0; i < in; ++i) expected.set(0, i, row[static_cast<std::size_t>(i)]);
              ASSERT_EQ(bits_of(expected, 0), bits_of(decoded, o)) << what;
            }
          }
        }
      }
    }
  });
}

TEST(Quantized, ARowDoesNotDependOnItsCall) {
  for_each_table([](const Ops& ops) {
    rc::check("linear with quantised weights obeys the row law", [&ops] {
      const Format format = *rc::gen::elementOf(std::vector<Format>(quant::formats().begin(), quant::formats().end()));
      const std::int64_t step = quant::traits(format).columns_multiple;
      const std::int64_t blocks = *rc::gen::inRange(1, 12) + (*rc::gen::inRange(0, 4) == 0 ? 40 : 0);
      const std::int64_t in = step * (step == 256 ? blocks / 9 + 1 : blocks);
      const std::int64_t outs = *rc::gen::inRange(1, 110);
      const std::int64_t rows = *rc::gen::element(2, 3, 4, 5, 7, 8, 15, 17, 64, 127, 128, 129, 260);
      const std::int64_t index = *rc::gen::inRange<std::int64_t>(0, rows);
      const int threads = *rc::gen::element(1, 2, 3, 16);
      const Act act = *rc::gen::element(Act::identity, Act::gelu);
      const bool as_ggml = *rc::gen::arbitrary<bool>() && quant::traits(format).scaling == quant::Scaling::inside;
      const Quantized w(format, outs, in, *rc::gen::element(32, 64, 128));
      const Tensor bias = Tensor(DType::f32, {1, outs}).random(2);
      const Tensor one = Tensor(DType::f32, {1, in}).random(3, *rc::gen::element(1.f, 3.f, 50.f));
      Tensor x = Tensor(DType::f32, {rows, in}, in + 3).fill(std::nanf(""));
      for (std::int64_t i = 0; i < in; ++i) x.set(index, i, static_cast<float>(one.get(0, i)));
      Tensor alone(DType::f32, {1, outs}), batch(DType::f32, {rows, outs});
      const View b(bias.view().data, DType::f32, {outs});
      const Scratch small(w.matrix(), 1), large(w.matrix(), rows);
      Linear a{.x = one.view(), .bias = b, .out = alone.view(), .act = act};
      a.quantized = w.matrix(), a.scratch = small.view(), a.as_ggml = as_ggml;
      ops.linear(*ops.open(1), a);
      a.x = x.view(), a.out = batch.view(), a.scratch = large.view();
      ops.linear(*ops.open(threads), a);
      RC_ASSERT(bits_of(alone, 0) == bits_of(batch, index));
    });
  });
}

}  // namespace
}  // namespace pkv::kernels
