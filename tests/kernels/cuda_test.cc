// The table `cuda` against `cuda-model`, bit for bit: skipped where there is no GPU. Shapes are at the edges of tiles.
#include "engine/kernels/cuda/cuda.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "attend_support.h"
#include "support/staged.h"

namespace pkv::kernels {
namespace {

class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::ops() == nullptr) GTEST_SKIP() << cuda::absent();
    gpu_ = &support::staged::ops("cuda");
    model_ = &table("cuda-model");
    on_gpu_ = gpu_->open(0), on_host_ = model_->open(0);
  }

  // Calls body(ops, device, out) for both, with an `out` each that begins alike, and compares what is written.
  template <class Body>
  void same(const Tensor& out, const std::string& what, const Body& body) {
    const Tensor got = copy_of(out), want = copy_of(out);
    body(*gpu_, *on_gpu_, got);
    body(*model_, *on_host_, want);
    expect_same(got, want, what);
  }

  static Tensor copy_of(const Tensor& t) {
    const View v = t.view();
    Tensor copy(v.dtype, std::vector<std::int64_t>(v.shape.begin(), v.shape.begin() + v.rank), v.step(0));
    for (std::int64_t r = 0; r < t.rows(); ++r) {
      for (std::int64_t c = 0; c < t.columns(); ++c) copy.set(r, c, static_cast<float>(t.get(r, c)));
    }
    return copy;
  }

  static void expect_same(const Tensor& got, const Tensor& want, const std::string& what) {
    got.check_guard();
    std::int64_t wrong = 0, first_r = 0, first_c = 0;
    for (std::int64_t r = want.rows(); r-- > 0;) {
      for (std::int64_t c = want.columns(); c-- > 0;) {
        const auto g = static_cast<float>(got.get(r, c)), w = static_cast<float>(want.get(r, c));
        if ((std::isnan(g) && std::isnan(w)) || std::memcmp(&g, &w, 4) == 0) continue;
        ++wrong, first_r = r, first_c = c;
      }
    }
    EXPECT_EQ(wrong, 0) << what << ": of " << want.rows() * want.columns() << " differ; row " << first_r << ", column "
                        << first_c << ": cuda " << got.get(first_r, first_c) << ", model "
                        << want.get(first_r, first_c);
  }

  const Ops *gpu_ = nullptr, *model_ = nullptr;
  std::unique_ptr<Device> on_gpu_, on_host_;
};

struct Product {
  DType dtype;
  std::int64_t rows, outs, in;
  float spread = 1;
  bool tail = false;     // bias, clip, act, add
  bool awkward = false;  // rows with NaN, infinities, zeros; weights far below the others
};

std::string text_of(const Product& p) {
  return "linear " + std::string(name_of(p.dtype)) + " rows " + std::to_string(p.rows) + " outs " +
         std::to_string(p.outs) + " in " + std::to_string(p.in) + (p.tail ? ", tail" : "") +
         (p.awkward ? ", awkward" : "");
}

class CudaLinear : public Cuda {
 protected:
  void check(const Product& p) {
    Tensor x(DType::f32, {p.rows, p.in}, p.in + p.rows % 3 * 4 + (p.awkward ? 1 : 0)), w(p.dtype, {p.outs, p.in});
    x.random(1, p.spread), w.random(2);
    Tensor bias(DType::f32, {1, p.outs}), add(DType::f32, {p.rows, p.outs}, p.outs + 3);
    bias.random(3), add.random(4);
    if (p.awkward) {
      for (std::int64_t r = 0; r < p.rows; ++r) {
        x.set(r, r % p.in, r % 4 == 0 ? std::nanf("") : r % 4 == 1 ? std::numeric_limits<float>::infinity() : 1e-30f);
        for (std::int64_t c = 0; r % 4 == 3 && c < p.in; ++c) x.set(r, c, r % 8 == 3 ? 0.f : 1e-38f);
      }
      for (std::int64_t o = 0; o < p.outs; o += 3) {
        w.set(o, o % p.in, p.dtype == DType::f16 ? 6e-8f : 1e-20f);
        w.set(o, (o + 5) % p.in, p.dtype == DType::f16 ? 60000.f : 1e20f);
      }
    }
    same(Tensor(DType::f32, {p.rows, p.outs}, p.outs + 5), text_of(p),
         [&](const Ops& ops, Device& device, const Tensor& out) {
           Linear a{.x = x.view(), .weight = w.view(), .out = out.view()};
           if (p.tail) {
             a.bias = View(bias.view().data, DType::f32, {p.outs});
             a.add = add.view(), a.clip = 3, a.act = Act::gelu_tanh;
           }
           ops.linear(device, a);
         });
  }
};

TEST_F(CudaLinear, AtTileEdges) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    for (const std::int64_t rows :
         {1, 2, 7, 8, 9, 16, 17, 63, 64, 65, 95, 96, 97, 127, 128, 129, 191, 192, 193, 255, 256, 257}) {
      check({dtype, rows, 130, 200});
    }
    for (const std::int64_t rows : {1, 5, 70, 200}) {
      for (const std::int64_t in : {1, 15, 16, 17, 127, 128, 129, 1024, 1025, 1040, 2052}) check({dtype, rows, 33, in});
      for (const std::int64_t outs : {1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 257}) check({dtype, rows, outs, 264});
    }
    check({dtype, 3, 40, 14336});
    check({dtype, 100, 130, 4096});
  }
}

TEST_F(CudaLinear, NumbersOfAllSizes) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    for (const std::int64_t rows : {1, 8, 70, 130}) {
      for (const float spread : {1e-20f, 1e-3f, 1e4f, 1e20f}) check({dtype, rows, 20, 300, spread, true});
      check({dtype, rows, 50, 300, 1, true, true});
      check({dtype, rows, 20, 1100, 1, false, true});
    }
  }
}

TEST_F(CudaLinear, Quantised) {
  for (const quant::Format format : quant::formats()) {
    const quant::Traits& t = quant::traits(format);
    for (const std::int64_t rows : {1, 2, 9, 20}) {
      for (const std::int64_t in :
           {t.columns_multiple == 256 ? 512 : 192, 2048 + (t.columns_multiple < 64 ? 32 : 256)}) {
        quant::Matrix m{.format = format, .out = 21, .in = in};
        std::vector<std::byte> codes(m.code_bytes() + 64), scales(m.scale_bytes() + 64);
        m.codes = m.codes_in(codes.data()), m.scales = m.scales_in(scales.data());
        Tensor w(DType::f32, {m.out, in}), x(DType::f32, {rows, in}), out(DType::f32, {rows, m.out});
        w.random(5), x.random(6, 3);
        x.set(0, 7, 9), x.set(rows - 1, 100, -8);
        if (t.encode != nullptr) {
          quant::encode(w.view(), m, 0, m.units());
        } else {
          for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>(i * 37 % 61);
        }
        for (const bool of_call : {false, true}) {
          if (of_call && format != quant::Format::int8) continue;
          std::vector<std::byte> memory(table("naive").linear_scratch(m, rows) + 64);
          same(out, std::string(t.name) + " rows " + std::to_string(rows) + " in " + std::to_string(in),
               [&](const Ops& ops, Device& device, const Tensor& to) {
                 const auto at = (reinterpret_cast<std::uintptr_t>(memory.data()) + 63) / 64 * 64;
                 ops.linear(device, {.x = x.view(),
                                     .out = to.view(),
                                     .quantized = m,
                                     .scratch = View(reinterpret_cast<void*>(at), DType::u8,
                                                     {static_cast<std::int64_t>(memory.size() - 64)}),
                                     .outliers_of_call = of_call});
               });
        }
        const Tensor ids = ints({3, 0, 20});
        same(Tensor(DType::f32, {3, in}), "embed " + std::string(t.name),
             [&](const Ops& ops, Device& device, const Tensor& to) {
               ops.embed(device, {.ids = View(ids.view().data, DType::i32, {3}), .out = to.view(), .quantized = m});
             });
        same(Tensor(DType::f32, {m.out, in}), "decode " + std::string(t.name),
             [&](const Ops& ops, Device& device, const Tensor& to) {
               ops.decode(device, {.from = m, .to = to.view()});
             });
      }
    }
  }
}

class CudaAttend : public Cuda {
 protected:
  // Both feed a text in the same pieces, to pasts of their own.
  void check(const Shape& s, std::int64_t tokens, const std::vector<std::int64_t>& pieces, bool nan = false) {
    Text text(s, tokens, 7);
    if (nan) {
      for (std::int64_t c = 0; c < text.v.columns(); ++c) text.v.set(tokens / 2, c, std::nanf(""));
    }
    std::vector<Tensor> outs;
    for (const Ops* ops : {gpu_, model_}) {
      Past past(s.kv_heads, s.dim, s.dtype, tokens);
      outs.emplace_back(DType::f32, std::vector<std::int64_t>{tokens, s.heads(), s.dim});
      std::int64_t from = 0;
      for (std::size_t i = 0; from < tokens; ++i) {
        const std::int64_t to = i < pieces.size() ? std::min(tokens, from + pieces[i]) : tokens;
        feed(*ops, ops == gpu_ ? *on_gpu_ : *on_host_, s, text, from, to, past, outs.back());
        from = to;
      }
    }
    expect_same(outs[0], outs[1],
                "attend " + std::string(name_of(s.dtype)) + " kv " + std::to_string(s.kv_heads) + " x " +
                    std::to_string(s.per_group) + " x " + std::to_string(s.dim) + ", " + std::to_string(tokens) +
                    " tokens in pieces from " + std::to_string(pieces.empty() ? tokens : pieces[0]) + ", window " +
                    std::to_string(s.window) + (s.alibi ? ", alibi" : "") + (nan ? ", NaN" : ""));
  }
};

TEST_F(CudaAttend, Heads) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    for (const std::int64_t dim : {1, 5, 8, 16, 24, 33, 64, 80, 128, 256}) {
      for (const std::int64_t per_group : {1, 3, 8}) {
        check({.kv_heads = 2, .per_group = per_group, .dim = dim, .dtype = dtype}, 70, {});
      }
    }
    check({.kv_heads = 1, .per_group = 71, .dim = 64, .dtype = dtype}, 66, {65});
  }
}

TEST_F(CudaAttend, Lengths) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    for (const std::int64_t tokens : {1, 63, 64, 65, 127, 129, 255, 256, 257, 511, 513, 800}) {
      check({.kv_heads = 2, .per_group = 2, .dim = 64, .dtype = dtype}, tokens, {tokens - 1, 1});
      check({.kv_heads = 1, .per_group = 1, .dim = 128, .dtype = dtype}, tokens, {});
      check({.kv_heads = 1, .per_group = 4, .dim = 64, .dtype = dtype}, tokens, {tokens / 2, 17, 3});
    }
  }
}

TEST_F(CudaAttend, Kinds) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    for (const std::int64_t window : {0, 1, 9, 64, 100, 300}) {
      check({.kv_heads = 2, .per_group = 2, .dim = 64, .dtype = dtype, .window = window, .cap = 2}, 400, {350, 1, 20});
    }
    check({.kv_heads = 2, .per_group = 2, .dim = 64, .dtype = dtype, .alibi = true, .peak = 8}, 300, {290, 1});
    check({.kv_heads = 2, .dim = 24, .dtype = dtype, .alibi = true, .alibi_bf16 = true, .factors = true}, 300, {});
    check({.kv_heads = 1, .per_group = 2, .dim = 64, .dtype = dtype, .causal = false}, 130, {});
    check({.kv_heads = 1, .per_group = 2, .dim = 64, .dtype = dtype}, 300, {}, true);
    check({.kv_heads = 1, .per_group = 2, .dim = 40, .dtype = dtype, .window = 20}, 90, {50, 1}, true);
  }
}

class CudaRows : public Cuda {};

TEST_F(CudaRows, Norm) {
  for (const std::int64_t n : {1, 3, 4, 31, 127, 128, 129, 511, 512, 513, 768, 1600, 4096}) {
    for (const bool centred : {true, false}) {
      Tensor x(DType::f32, {5, n}, n + n % 4), w(DType::f32, {1, n}), b(DType::f32, {1, n});
      x.random(1, 3), w.random(2), b.random(3);
      same(Tensor(DType::f32, {5, n}), "norm of " + std::to_string(n),
           [&](const Ops& ops, Device& device, const Tensor& out) {
             Norm a{
                 .x = x.view(), .weight = View(w.view().data, DType::f32, {n}), .out = out.view(), .centred = centred};
             if (centred) a.bias = View(b.view().data, DType::f32, {n});
             ops.norm(device, a);
           });
    }
  }
}

TEST_F(CudaRows, Elementwise) {
  const std::int64_t n = 3000;
  Tensor x(DType::f32, {3, n}, n + 5), up(DType::f32, {3, n}), parameters(DType::f32, {1, 4});
  up.random(2), parameters.random(3);
  for (std::int64_t c = 0; c < n; ++c) {
    x.set(0, c, static_cast<float>(c - n / 2) / 100), x.set(1, c, static_cast<float>(c - n / 2) * 1e-3f);
    x.set(2, c, std::ldexp(c % 2 == 0 ? 1.5f : -1.25f, static_cast<int>(c % 200) - 100));
  }
  x.set(2, 0, std::nanf("")), x.set(2, 1, std::numeric_limits<float>::infinity());
  x.set(2, 2, -std::numeric_limits<float>::infinity());
  const Tensor out(DType::f32, {3, n}, n + 2);
  for (int act = 0; act <= static_cast<int>(Act::sqrtsoftplus); ++act) {
    same(out, "act " + std::string(name_of(static_cast<Act>(act))),
         [&](const Ops& ops, Device& device, const Tensor& to) {
           ops.gate(device, {.x = x.view(), .up = up.view(), .out = to.view(), .act = static_cast<Act>(act)});
         });
  }
  same(out, "xielu", [&](const Ops& ops, Device& device, const Tensor& to) {
    ops.gate(device, {.x = x.view(), .out = to.view(), .xielu = View(parameters.view().data, DType::f32, {4})});
  });
  for (const float cap : {0.f, 30.f}) {
    same(out, "scale", [&](const Ops& ops, Device& device, const Tensor& to) {
      ops.scale(device, {.x = x.view(), .out = to.view(), .factor = 0.3f, .cap = cap});
    });
  }
  same(out, "add", [&](const Ops& ops, Device& device, const Tensor& to) {
    ops.add(device, {.x = x.view(), .add = up.view(), .out = to.view(), .scale = 0.7f});
  });
}

TEST_F(CudaRows, Positions) {
  const std::vector<std::int32_t> at{0, 1, 2, 63, 1000, 131071, 10000000};
  const Tensor positions = ints(at);
  Tensor frequencies(DType::f32, {1, 40});
  for (std::int64_t i = 0; i < 40; ++i) {
    frequencies.set(0, i, static_cast<float>(std::pow(500000., -static_cast<double>(i) / 40)));
  }
  const auto rows = static_cast<std::int64_t>(at.size());
  for (const bool neighbours : {false, true}) {
    Tensor x(DType::f32, {rows, 2, 3, 90});
    x.random(9);
    same(x, "rotate", [&](const Ops& ops, Device& device, const Tensor& to) {
      Tensor cos(DType::f32, {rows, 40}, 44), sin(DType::f32, {rows, 40}, 44);
      ops.angles(device, {.positions = View(positions.view().data, DType::i32, {rows}),
                          .frequencies = View(frequencies.view().data, DType::f32, {40}),
                          .cos = cos.view(),
                          .sin = sin.view(),
                          .factor = 1.1f});
      ops.rotate(device, {.x = to.view(), .cos = cos.view(), .sin = sin.view(), .neighbours = neighbours});
    });
  }
}

TEST_F(CudaRows, EmbedAndFormats) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    Tensor w(dtype, {37, 70});
    w.random(4);
    for (std::int64_t o = 0; o < 37; ++o) w.set(o, o, dtype == DType::bf16 ? 1e-25f : 3e-7f);
    const Tensor ids = ints({0, 36, 5, 5});
    Tensor out(DType::f32, {4, 70}, 75);
    out.random(1);
    for (const bool add : {false, true}) {
      same(out, "embed", [&](const Ops& ops, Device& device, const Tensor& to) {
        ops.embed(device, {.ids = View(ids.view().data, DType::i32, {4}),
                           .table = w.view(),
                           .out = to.view(),
                           .add = add,
                           .scale = 1.7f});
      });
    }
    for (const DType to_dtype : {DType::f16, DType::bf16, DType::f32}) {
      same(Tensor(to_dtype, {37, 70}), "convert", [&](const Ops& ops, Device& device, const Tensor& to) {
        ops.convert(device, {.from = w.view(), .to = to.view()});
      });
      same(Tensor(to_dtype, {70, 37}), "transpose", [&](const Ops& ops, Device& device, const Tensor& to) {
        ops.convert(device, {.from = w.view(), .to = to.view(), .transpose = true});
      });
    }
    for (const quant::Format format : {quant::Format::int8, quant::Format::fp4, quant::Format::nf4}) {
      quant::Matrix m{.format = format, .out = 37, .in = 70};
      std::vector<std::vector<std::byte>> codes, scales;
      for (const Ops* ops : {gpu_, model_}) {
        codes.emplace_back(m.code_bytes()), scales.emplace_back(m.scale_bytes());
        m.codes = m.codes_in(codes.back().data()), m.scales = m.scales_in(scales.back().data());
        ops->encode(ops == gpu_ ? *on_gpu_ : *on_host_, {.from = w.view(), .to = m});
      }
      EXPECT_EQ(codes[0], codes[1]) << quant::name_of(format);
      EXPECT_EQ(scales[0], scales[1]) << quant::name_of(format);
    }
  }
}

}  // namespace
}  // namespace pkv::kernels
