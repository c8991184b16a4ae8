// The law of the CUDA table (src/engine/kernels/law): each of its parts against something that knows nothing of it, and
// that tests of the row law see where it is broken.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/kernels/cuda_model/cuda_model.h"
#include "engine/kernels/cuda_model/vectors.h"
#include "engine/kernels/law/attend.h"
#include "engine/kernels/law/linear.h"
#include "engine/kernels/law/packed.h"
#include "engine/kernels/law/quantized.h"
#include "engine/kernels/law/rows.h"
#include "engine/kernels/law/states.h"
#include "engine/kernels/naive/naive.h"
#include "engine/tensor/buffer.h"
#include "engine/tensor/element.h"

namespace pkv::kernels::law {
namespace {

constexpr double kUnit = 0x1p-24;

// ---- the matrix unit

// A step in the words of law/step.h, by long double: 64 bits hold every product, every cut of one and every sum of
// them.
float step_in_words(const std::vector<float>& a, const std::vector<float>& b, float c, int least) {
  const auto exponent = [&](float x, int floor) { return x == 0 ? -10000 : std::max(std::ilogb(x), floor); };
  int most = c == 0 ? -126 : exponent(c, -126);
  for (std::size_t k = 0; k < 16; ++k) most = std::max(most, exponent(a[k], least) + exponent(b[k], least));
  long double sum = std::trunc(std::ldexp(static_cast<long double>(c), 25 - most));
  for (std::size_t k = 0; k < 16; ++k) {
    sum += std::trunc(std::ldexp(static_cast<long double>(a[k]) * static_cast<long double>(b[k]), 25 - most));
  }
  const long double exact = std::ldexp(sum, most - 25);
  const auto near = static_cast<float>(exact);
  return std::fabs(static_cast<long double>(near)) > std::fabs(exact) ? std::nextafter(near, 0.f) : near;
}

struct Draw {
  std::vector<std::uint16_t> a, b;
  float c = 0;
};

// Kinds of operands: 0 in [-1, 1); 1 of any size; 2 cancelling; 3 with an outlier; 4 subnormal and small; 5 with zeros.
Draw draw(int kind, std::uint64_t n, bool bf16) {
  Draw d;
  std::uint64_t drawn = n * 1000;
  const auto number = [&](double scale) { return static_cast<float>(scale * random_signed(31, drawn++)); };
  const auto bits = [&](float x) { return bf16 ? bf16_of(x) : half_of(x); };
  for (int k = 0; k < 16; ++k) {
    double scale = 1;
    if (kind == 1)
      scale = std::ldexp(1., static_cast<int>(random_bits(32, drawn++) % (bf16 ? 60 : 28)) - (bf16 ? 30 : 13));
    if (kind == 3 && k == static_cast<int>(n % 16)) scale = 1000;
    if (kind == 4) scale = std::ldexp(1., bf16 ? -60 : -14 - static_cast<int>(n % 9));
    const float x = number(scale), y = number(kind == 4 && !bf16 ? 1 : scale);
    d.a.push_back(bits(kind == 5 && random_bits(33, drawn++) % 2 == 0 ? 0.f : x));
    d.b.push_back(bits(y));
  }
  d.c = number(kind == 4 ? 0x1p-20 : kind == 1 ? std::ldexp(1., static_cast<int>(random_bits(34, n) % 40) - 20) : 4);
  if (n % 7 == 0) d.c = 0;
  if (kind == 2) {
    for (int k = 8; k < 16; ++k) d.a[k] = d.a[k - 8], d.b[k] = static_cast<std::uint16_t>(d.b[k - 8] ^ 0x8000u);
    if (n % 2 == 0) d.b[15] = static_cast<std::uint16_t>(d.b[15] ^ 1u);
  }
  return d;
}

TEST(MatrixUnit, IsWhatItsDescriptionSays) {
  for (const bool bf16 : {false, true}) {
    const auto to_float = [&](std::uint16_t h) { return bf16 ? float_of_bf16(h) : float_of_half(h); };
    for (int kind = 0; kind < 6; ++kind) {
      for (std::uint64_t n = 0; n < 2000; ++n) {
        const Draw d = draw(kind, n, bf16);
        std::vector<float> a, b;
        for (int k = 0; k < 16; ++k) a.push_back(to_float(d.a[k])), b.push_back(to_float(d.b[k]));
        const float want = step_in_words(a, b, d.c, bf16 ? -126 : -14);
        const float got =
            bf16 ? step_of_bf16(d.a.data(), d.b.data(), d.c) : step_of_halves(d.a.data(), d.b.data(), d.c);
        ASSERT_EQ(bits_of(got), bits_of(want)) << (bf16 ? "bf16" : "fp16") << ", kind " << kind << ", draw " << n
                                               << ": expected " << want << ", got " << got;
      }
    }
  }
}

// Eight at a time: the same bits.
template <class T>
void expect_vectors_as_steps(bool bf16, float least) {
  using namespace cuda_model;
  for (int kind = 0; kind < 6; ++kind) {
    for (std::uint64_t n = 0; n < 500; ++n) {
      const Draw first = draw(kind, n, bf16);
      std::vector<T> x, w(16 * kVector);
      std::vector<float> ex, ew(16 * kVector);
      Floats c;
      std::vector<float> want;
      const auto to_float = [&](std::uint16_t h) { return bf16 ? float_of_bf16(h) : float_of_half(h); };
      for (int k = 0; k < 16; ++k)
        x.push_back(to_float(first.a[k])), ex.push_back(exponent_of(to_float(first.a[k]), least));
      for (int l = 0; l < kVector; ++l) {
        const Draw d = l == 0 ? first : draw((kind + l) % 6, 77 * n + l, bf16);
        c[l] = d.c;
        for (int k = 0; k < 16; ++k) {
          w[k * kVector + l] = to_float(d.b[k]);
          ew[k * kVector + l] = exponent_of(to_float(d.b[k]), least);
        }
        want.push_back(bf16 ? step_of_bf16(first.a.data(), d.b.data(), d.c)
                            : step_of_halves(first.a.data(), d.b.data(), d.c));
      }
      step_of_vector(x.data(), ex.data(), w.data(), ew.data(), kVector, c);
      for (int l = 0; l < kVector; ++l) {
        ASSERT_EQ(bits_of(static_cast<float>(c[l])), bits_of(want[l]))
            << "kind " << kind << ", draw " << n << ", " << l;
      }
    }
  }
}
TEST(MatrixUnit, VectorsAreSteps) {
  expect_vectors_as_steps<float>(false, cuda_model::kLeastOfHalf);
  expect_vectors_as_steps<double>(true, cuda_model::kLeastOfBf16);
}

TEST(MatrixUnit, TheLargestSumsFit) {
  using namespace cuda_model;
  std::vector<std::uint16_t> a(16, 0x7bff), b(16, 0x7bff);
  const float most = float_of_half(0x7bff), c = 0x1.fffffep30f;
  std::vector<float> x(16, most), w(16 * kVector, most), ex(16, 15.f), ew(16 * kVector, 15.f);
  for (const float sign : {1.f, -1.f}) {
    Floats all;
    for (int l = 0; l < kVector; ++l) all[l] = sign * c;
    for (float& v : x) v = sign * most;
    for (std::uint16_t& h : a) h = half_of(sign * most);
    step_of_vector(x.data(), ex.data(), w.data(), ew.data(), kVector, all);
    const float want = step_of_halves(a.data(), b.data(), sign * c);
    EXPECT_EQ(want, step_in_words(x, std::vector<float>(16, most), sign * c, -14));
    for (int l = 0; l < kVector; ++l) EXPECT_EQ(bits_of(static_cast<float>(all[l])), bits_of(want));
  }
}

// Finite factors of bf16 can overflow: what has become infinite stays so in the steps after it.
TEST(MatrixUnit, ChainsThatOverflowStayInfinite) {
  using namespace cuda_model;
  const float most = float_of_bf16(0x7f7f), four = 4;
  const std::vector<std::uint16_t> a(16, bf16_of(four)), b(16, bf16_of(most));
  const std::vector<double> x(16, four), w(16 * kVector, most);
  const std::vector<float> ex(16, 2.f), ew(16 * kVector, 127.f);
  for (const float sign : {1.f, -1.f}) {
    std::vector<std::uint16_t> signed_a(16, bf16_of(sign * four));
    std::vector<double> signed_x(16, sign * four);
    Floats all{};
    float want = 0;
    step_of_vector(signed_x.data(), ex.data(), w.data(), ew.data(), kVector, all);
    want = step_of_bf16(signed_a.data(), b.data(), want);
    ASSERT_EQ(want, sign * std::numeric_limits<float>::infinity());
    step_of_vector(x.data(), ex.data(), w.data(), ew.data(), kVector, all);
    want = step_of_bf16(a.data(), b.data(), want);
    for (int l = 0; l < kVector; ++l) EXPECT_EQ(static_cast<float>(all[l]), want) << l;
  }
}

TEST(MatrixUnit, WhatIsNotFinite) {
  const std::uint16_t one = half_of(1), infinite = 0x7c00, nan = 0x7e00;
  std::vector<std::uint16_t> a(16, one), b(16, one);
  a[3] = infinite;
  EXPECT_EQ(step_of_halves(a.data(), b.data(), 0), std::numeric_limits<float>::infinity());
  b[3] = 0;
  EXPECT_EQ(bits_of(step_of_halves(a.data(), b.data(), 0)), kNotANumber);
  b[3] = one, a[9] = 0xfc00;
  EXPECT_EQ(bits_of(step_of_halves(a.data(), b.data(), 0)), kNotANumber);
  a[9] = nan, a[3] = one;
  EXPECT_EQ(bits_of(step_of_halves(a.data(), b.data(), 0)), kNotANumber);
}

// The order of the inputs of a step does not matter, and the operands may be swapped; which inputs share one does. So a
// kernel of steps of 8 would be found out.
TEST(MatrixUnit, TheSetOfInputsMattersAlone) {
  int other = 0;
  for (std::uint64_t n = 0; n < 1000; ++n) {
    Draw d = draw(static_cast<int>(n % 6), n, false);
    const float want = step_of_halves(d.a.data(), d.b.data(), d.c);
    EXPECT_EQ(bits_of(step_of_halves(d.b.data(), d.a.data(), d.c)), bits_of(want));
    std::vector<std::uint16_t> low(16), high(16);
    std::copy_n(d.a.begin(), 8, low.begin()), std::copy_n(d.a.begin() + 8, 8, high.begin() + 8);
    const float by_8 = step_of_halves(high.data(), d.b.data(), step_of_halves(low.data(), d.b.data(), d.c));
    other += by_8 != want ? 1 : 0;
    std::rotate(d.a.begin(), d.a.begin() + 5, d.a.end()), std::rotate(d.b.begin(), d.b.begin() + 5, d.b.end());
    EXPECT_EQ(bits_of(step_of_halves(d.a.data(), d.b.data(), d.c)), bits_of(want));
  }
  EXPECT_GT(other, 100);
}

// ---- operands

TEST(Halves, AddUpToWhatIsPromised) {
  for (int exponent = -149; exponent < 128; ++exponent) {
    const float most = std::ldexp(1.75f, exponent);
    const std::int32_t a = row_exponent(finite_magnitude(most));
    const float scale = power_of_two(a), back = power_of_two(-a);
    const double scaled = static_cast<double>(most) * static_cast<double>(scale);
    EXPECT_EQ(static_cast<double>(most * scale), scaled) << exponent;
    EXPECT_LT(scaled, 0x1p15) << exponent;
    EXPECT_TRUE(scaled >= 0x1p14 || exponent < -112) << exponent;
    for (int below = 0; below < 60; ++below) {
      const float x =
          std::ldexp(most * random_signed(5, static_cast<std::uint64_t>(exponent + 200) * 64 + below), -below);
      const Halves h = split(x * scale);
      const double exact = static_cast<double>(x) * static_cast<double>(scale);
      const double got = static_cast<double>(float_of_half(h.hi)) + 0x1p-11 * static_cast<double>(float_of_half(h.lo));
      ASSERT_LE(std::fabs(got - exact), std::max(0x1p-23 * std::fabs(exact), 0x1p-36)) << x << ", largest " << most;
      ASSERT_LE(std::fabs(got * static_cast<double>(back) - x), std::max(0x1p-23 * std::fabs(x), 0x1p-50 * most)) << x;
    }
  }
  EXPECT_EQ(row_exponent(0), 0);
  const Halves infinite = split(std::numeric_limits<float>::infinity()), nan = split(std::nanf(""));
  EXPECT_EQ(infinite.hi, 0x7c00);
  EXPECT_EQ(infinite.lo, 0);
  EXPECT_TRUE(is_nan(float_of_half(nan.hi)));
  EXPECT_EQ(nan.lo, 0);
  EXPECT_EQ(finite_magnitude(-std::numeric_limits<float>::infinity()), 0u);
}

TEST(Halves, ThreePiecesOfBf16AreExact) {
  for (std::uint64_t n = 0; n < 20000; ++n) {
    const float x = std::ldexp(random_signed(6, n), static_cast<int>(n % 100) - 60);
    const Pieces p = split_bf16(x);
    double sum = 0;
    for (const std::uint16_t b : p.b) sum += static_cast<double>(float_of_bf16(b));
    ASSERT_EQ(sum, static_cast<double>(x));
  }
}

// Each of the 65,536 weights beside each largest: a half times a power of two, exactly, or kept apart; and apart only
// where it is below 2^-32 of the largest.
TEST(Halves, WeightsOfBf16AreNeverRounded) {
  for (int exponent = -133; exponent < 128; exponent += 9) {
    const float most = std::ldexp(1.9921875f, exponent);
    const std::int32_t b = weight_exponent(finite_magnitude(most));
    const float scale = power_of_two(b);
    EXPECT_TRUE(most * scale >= 0x1p15f || exponent < -111) << exponent;
    EXPECT_LT(most * scale, 0x1p16f);
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
      const auto w = static_cast<std::uint16_t>(bits);
      const float x = float_of_bf16(w);
      if (!(std::fabs(x) <= most)) continue;
      const Weight got = weight_of_bf16(w, scale);
      if (got.lost) {
        ASSERT_LT(std::fabs(x), std::ldexp(1., exponent - 32)) << most;
        ASSERT_EQ(got.half, 0);
      } else {
        ASSERT_EQ(static_cast<double>(float_of_half(got.half)) * std::ldexp(1., -b), static_cast<double>(x)) << most;
      }
    }
  }
  EXPECT_EQ(weight_of_bf16(0x7f80, 1).half, 0x7c00) << "infinity";
  EXPECT_TRUE(is_nan(float_of_half(weight_of_bf16(0x7fc0, 1).half)));
}

TEST(Packed, EveryWeightHasAPlaceOfItsOwn) {
  for (const auto& [outs, in] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {16, 16}, {17, 33}, {50, 40}}) {
    const Packed p{outs, in};
    std::set<std::int64_t> places;
    for (std::int64_t o = 0; o < outs; ++o) {
      for (std::int64_t k = 0; k < in; ++k) {
        EXPECT_TRUE(places.insert(p.at(o, k)).second);
        EXPECT_LT(2 * p.at(o, k), p.scales());
      }
    }
    EXPECT_EQ(p.offsets() % 4, 0);
    EXPECT_EQ(p.apart() % 8, 0);
    EXPECT_GE(p.apart(), p.offsets() + (16 * p.m_tiles() + 1) * 4);
    EXPECT_EQ(p.bytes(false, 0), p.scales());
  }
  // Lane 4 g + t: outputs g and g + 8, inputs 2t, 2t + 1 and 8 more.
  const Packed p{32, 48};
  for (int g = 0; g < 8; ++g) {
    for (int t = 0; t < 4; ++t) {
      const std::int64_t lane = p.tile(1, 2) + 8 * (4 * g + t);
      const std::int64_t o = 16 + g, k = 32 + 2 * t;
      const std::int64_t places[] = {p.at(o, k),     p.at(o, k + 1), p.at(o + 8, k),     p.at(o + 8, k + 1),
                                     p.at(o, k + 8), p.at(o, k + 9), p.at(o + 8, k + 8), p.at(o + 8, k + 9)};
      for (int i = 0; i < 8; ++i) EXPECT_EQ(places[i], lane + i);
    }
  }
}

// ---- orders

// As a warp does it: each lane with the one whose number differs in one bit.
std::vector<float> butterfly(std::vector<float> x, const std::vector<std::size_t>& bits) {
  for (const std::size_t bit : bits) {
    std::vector<float> next;
    for (std::size_t i = 0; i < x.size(); ++i) next.push_back(x[i] + x[i ^ bit]);
    x = next;
  }
  return x;
}

TEST(Sums, TreesAreThoseOfWarps) {
  std::vector<float> x;
  for (std::uint64_t i = 0; i < 64; ++i) x.push_back(random_signed(8, i));
  float lanes[kLanes], block[64];
  std::copy_n(x.begin(), kLanes, lanes), std::copy(x.begin(), x.end(), block);
  const std::vector<float> warp = butterfly({x.begin(), x.begin() + kLanes}, {16, 8, 4, 2, 1});
  const float tree = tree_of_lanes(lanes);
  for (const float lane : warp) EXPECT_EQ(lane, tree);
  for (const float each : butterfly(x, {8, 16, 32, 1, 2, 4})) EXPECT_EQ(each, tree_of_block(block));
  float keys[kKeyChains];
  std::copy_n(x.begin(), kKeyChains, keys);
  EXPECT_EQ(butterfly({x.begin(), x.begin() + kKeyChains}, {4, 2, 1})[0], tree_of_keys(keys));
}

// ---- functions

// The largest error of `function` over a sweep of floats in [low, high], in units of 2^-24 of what `definition` gives.
template <class Function, class Definition>
double worst(float low, float high, const Function& function, const Definition& definition) {
  double most = 0;
  for (int i = 0; i <= 40'000; ++i) {
    const auto x = static_cast<float>(low + (static_cast<double>(high) - low) * i / 40'000.);
    const double want = definition(static_cast<double>(x));
    most = std::max(most, std::fabs(function(x) - want) / (kUnit * std::fabs(want)));
  }
  return most;
}

TEST(Functions, AreWithinTheirUnits) {
  const auto normal = [](double z) { return 0.5 * std::erfc(-z * std::sqrt(0.5)); };
  const auto expect = [](double got, double bound, const char* what) { EXPECT_LT(got, bound) << what; };
  expect(worst(
             -87, 88, [](float x) { return exp_of(x); }, [](double x) { return std::exp(x); }),
         2, "exp");
  // The argument of 2^y is rounded once more: d of its units, d <= 44.
  expect(worst(
             -1, 0, [](float x) { return weight_of(x); }, [](double x) { return std::exp(x); }),
         3, "weight, near");
  expect(worst(
             -44, 0, [](float x) { return weight_of(x); }, [](double x) { return std::exp(x); }),
         46, "weight");
  expect(worst(
             -2, 1, [](float x) { return exp_minus_1(x == 0 ? 1 : x); },
             [](double x) { return std::expm1(x == 0 ? 1 : x); }),
         6, "expm1");
  expect(worst(
             0.001f, 9, [](float x) { return tanh_of(x); }, [](double x) { return std::tanh(x); }),
         4, "tanh");
  expect(worst(
             0, 13, [](float x) { return normal_tail(x); }, [&](double x) { return normal(-x); }),
         9, "normal");
  // Those in double: half a unit of their rounding, and what normal_polynomial is off by.
  expect(worst(
             -10, 10, [](float x) { return gelu_10_of(x == 0 ? 1 : x); },
             [&](double x) { return std::min(10., x == 0 ? normal(1) : x * normal(x)); }),
         1.7, "gelu_10");
  expect(worst(
             -2, 3, [](float x) { return laplace_of(x); }, [&](double x) { return normal((x - 0.707107) / 0.282095); }),
         1.7, "laplace");
  const auto softplus = [](double x) { return x > 20 ? x : std::log1p(std::exp(x)); };
  expect(worst(
             -80, 30, [](float x) { return sqrtsoftplus_of(x); }, [&](double x) { return std::sqrt(softplus(x)); }),
         1.01, "sqrtsoftplus");
  expect(worst(
             -80, 30, [](float x) { return mish_of(x == 0 ? 1 : x); },
             [&](double x) { return x == 0 ? std::tanh(softplus(1)) : x * std::tanh(softplus(x)); }),
         1.01, "mish");
  expect(worst(
             -10, 10, [](float x) { return hardswish_of(x + 20); },
             [&](double x) { return static_cast<double>(static_cast<float>(x) + 20.f); }),
         1.01, "hardswish");
  EXPECT_EQ(weight_of(0), 1);
  EXPECT_EQ(weight_of(-std::numeric_limits<float>::infinity()), 0);
  EXPECT_EQ(weight_of(kLowest), 0);
  EXPECT_TRUE(is_nan(weight_of(std::nanf(""))));
}

TEST(Functions, AnglesAreExactHoweverFarOut) {
  std::vector<std::int32_t> positions{0, 1, 2, 3, 2047, 131072, 999'999, 1 << 24, 2147483646, 2147483647};
  for (std::uint64_t n = 0; n < 3000; ++n) positions.push_back(static_cast<std::int32_t>(random_bits(3, n) >> 33));
  for (std::size_t i = 0; i < positions.size(); ++i) {
    for (const float frequency : {1.f, static_cast<float>(std::pow(10000., -random_unit(4, i))), 0.9999999f}) {
      // The product has 55 bits at most, which long double holds; glibc reduces it exactly.
      const long double angle = static_cast<long double>(positions[i]) * static_cast<long double>(frequency);
      const double p = positions[i], f = static_cast<double>(frequency), product = f * p;
      double c, s;
      cos_sin(product, fma(f, p, -product), c, s);
      ASSERT_LT(std::fabs(c - std::cos(angle)), 0x1p-50L) << positions[i] << " times " << frequency;
      ASSERT_LT(std::fabs(s - std::sin(angle)), 0x1p-50L) << positions[i] << " times " << frequency;
      float fc, fs;
      angle_of(positions[i], frequency, 1, fc, fs);
      ASSERT_EQ(fc, static_cast<float>(c));
      ASSERT_EQ(fs, static_cast<float>(s));
    }
  }
}

// ---- the table

// x . w of `rows` rows and 5 outputs, by a table.
std::vector<float> products(const Ops& ops, const Buffer& x, const Buffer& w) {
  Buffer out(DType::f32, {x.view()[0], w.view()[0]});
  ops.linear(*ops.open(1), {.x = x.view(), .weight = w.view(), .out = out.view()});
  return {out.span<float>().begin(), out.span<float>().end()};
}

Buffer random_rows(std::int64_t rows, std::int64_t in) {
  Buffer x(DType::f32, {rows, in});
  for (std::size_t i = 0; i < x.span<float>().size(); ++i) x.span<float>()[i] = random_signed(11, i);
  return x;
}
Buffer random_weights(DType dtype, std::int64_t outs, std::int64_t in) {
  Buffer w(dtype, {outs, in});
  for (std::int64_t i = 0; i < outs * in; ++i) store_element(w.view().data, dtype, i, random_signed(12, i));
  return w;
}

// Whether rows have the bits of a call of their own.
bool obeys_the_law(const Ops& ops) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t in : {300, 1500, 2400}) {
      const Buffer x = random_rows(20, in), w = random_weights(dtype, 5, in);
      const std::vector<float> all = products(ops, x, w);
      for (const std::int64_t r : {0, 7, 19}) {
        Buffer one(DType::f32, {1, in});
        std::copy_n(x.span<float>().begin() + r * in, in, one.span<float>().begin());
        const std::vector<float> alone = products(ops, one, w);
        if (!std::equal(alone.begin(), alone.end(), all.begin() + r * 5)) return false;
      }
    }
  }
  return true;
}

// The product with K cut at `cut` into two products of their own, the second added to the first: with segments on each
// side the same, and another order of their sums.
void in_two(const Linear& a, std::int64_t cut) {
  const std::int64_t in = a.x[1], outs = a.weight[0];
  const auto device = cuda_model::ops().open(1);
  Linear part = a;
  for (const auto& [from, to] : {std::pair<std::int64_t, std::int64_t>{0, cut}, {cut, in}}) {
    Buffer w(a.weight.dtype, {outs, to - from});
    for (std::int64_t o = 0; o < outs; ++o) {
      for (std::int64_t k = from; k < to; ++k) {
        const float x = load_element(a.weight.data, a.weight.dtype, o * in + k);
        store_element(w.view().data, a.weight.dtype, o * (to - from) + k - from, x);
      }
    }
    part.x = View(a.x.as<float>() + from, DType::f32, {a.x[0], to - from});
    part.x.stride[0] = a.x.step(0);
    part.weight = w.view();
    part.add = from == 0 ? View() : a.out;
    cuda_model::ops().linear(*device, part);
  }
}
// Mutants: for more than 8 rows K is cut elsewhere; for more than one row the sums of segments are folded in another
// order.
void cut_by_rows(Device& device, const Linear& a) noexcept {
  a.x[0] > 8 ? in_two(a, 200) : cuda_model::ops().linear(device, a);
}
void fold_out_of_order(Device& device, const Linear& a) noexcept {
  a.x[0] > 1 && a.x[1] > 1024 ? in_two(a, 1024) : cuda_model::ops().linear(device, a);
}

TEST(CudaModel, MutantsBreakTheLaw) {
  EXPECT_TRUE(obeys_the_law(cuda_model::ops()));
  Ops mutant = cuda_model::ops();
  mutant.linear = cut_by_rows;
  EXPECT_FALSE(obeys_the_law(mutant));
  mutant.linear = fold_out_of_order;
  EXPECT_FALSE(obeys_the_law(mutant));
}

// Weights of one output 2^-60 apart, the large ones against activations of 0: the small ones are all that there is.
TEST(CudaModel, SmallWeightsBesideLargeOnesAreNotLost) {
  constexpr std::int64_t kIn = 300;
  Buffer x = random_rows(3, kIn), w = random_weights(DType::bf16, 4, kIn);
  for (std::int64_t k = 0; k < kIn; ++k) {
    for (std::int64_t o = 0; o < 4; ++o) {
      const float value = load_element(w.view().data, DType::bf16, o * kIn + k);
      store_element(w.view().data, DType::bf16, o * kIn + k, k % 10 == 0 ? value * 0x1p40f : value * 0x1p-20f);
    }
    for (std::int64_t r = 0; k % 10 == 0 && r < 3; ++r) x.span<float>()[r * kIn + k] = 0;
  }
  const std::vector<float> want = products(naive::ops(), x, w), got = products(cuda_model::ops(), x, w);
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 3 * (std::sqrt(300.) + 4) * kUnit * 300 * 0x1p-20) << i;
    EXPECT_NE(got[i], 0);
  }
}

TEST(CudaModel, InfinityGoesWhereItWouldInFp32) {
  const Buffer w = random_weights(DType::f16, 4, 100);
  Buffer x = random_rows(2, 100);
  x.span<float>()[30] = std::numeric_limits<float>::infinity();
  const std::vector<float> want = products(naive::ops(), x, w), got = products(cuda_model::ops(), x, w);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(got[i], want[i]);
  for (int i = 4; i < 8; ++i) EXPECT_TRUE(std::isfinite(got[i]));
}

}  // namespace
}  // namespace pkv::kernels::law
