// The elementwise functions against their definition in double precision, through linear's epilogue (a weight of one).
// The normal suite visits every 4093rd float; PKV_ACT_STEP=1 in the environment makes it all 2^32 (hours), 31 a hundred
// million (minutes), and prints the largest errors.
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "support.h"

namespace pkv::kernels {
namespace {

constexpr Act kActs[] = {Act::identity,  Act::relu,       Act::relu2,   Act::relu6,       Act::leaky_relu, Act::gelu,
                         Act::gelu_tanh, Act::quick_gelu, Act::silu,    Act::sigmoid,     Act::tanh,       Act::mish,
                         Act::hardswish, Act::gelu_10,    Act::laplace, Act::sqrtsoftplus};

// out[i] = act(x[i])
void apply_all(const Ops& ops, Device& device, Act act, const std::vector<float>& x, std::vector<float>& out) {
  const auto n = static_cast<std::int64_t>(x.size());
  const float zero = 0;
  // One row, n outputs: the sums are 0 * 0, the values come as the bias.
  static std::vector<float> weights;
  weights.assign(x.size(), 0.f);
  Linear a;
  a.x = View(&zero, DType::f32, {1, 1});
  a.weight = View(weights.data(), DType::f32, {n, 1});
  a.bias = View(x.data(), DType::f32, {n});
  a.out = View(out.data(), DType::f32, {1, n});
  a.act = act;
  ops.linear(device, a);
}

// The error allowed at x where the definition gives y, as a multiple of 2^-24 of |y| and an absolute part for results
// below the normal numbers. Found as the largest over all floats, rounded up.
double allowed(Act act, double x, double y, bool fused) {
  const double unit = kUnit * std::fabs(y), tiny = 0x1p-125, least = 0x1p-149;
  switch (act) {
    case Act::identity:
    case Act::relu:
      return 0;
    case Act::tanh:
      return 3 * unit;
    case Act::sigmoid:
      return 4 * unit + tiny;
    case Act::silu:
      return 5 * unit + tiny * std::fabs(x) + least;
    case Act::quick_gelu:  // rounding 1.702 x moves e^(-1.702 x) by as much again
      return (5 + 2 * std::fabs(std::fmin(x, 0.))) * unit + tiny * std::fabs(x) + least;
    case Act::gelu_tanh: {  // the same for the cubic; and 1 + tanh(u) of the definition cancels: 2^-53 of x
      const double u = 1.6 * std::fabs(std::fmin(x, 0.)) * (1 + 0.045 * x * x);
      return (6 + 3 * u) * unit + 0x1p-52 * std::fabs(x) + tiny * std::fabs(x) + least;
    }
    case Act::gelu: {  // without fusing, rounding x^2 / 2 moves e^(-x^2/2); 1 + erf of the definition cancels
      const double z = std::fmin(x, 0.);
      return (8 + (fused ? 0 : z * z)) * unit + 0x1p-52 * std::fabs(x) + tiny * std::fabs(x) + least;
    }
    case Act::gelu_10:  // 1 + erf of the definition cancels, as for gelu
      return 2 * unit + 0x1p-52 * std::fabs(x) + tiny;
    case Act::laplace:
      return 2 * unit + 0x1p-52 + tiny;
    default:
      return 2 * unit + tiny;
  }
}

void visit_floats(const Ops& ops, std::uint64_t step) {
  const auto device = ops.open(1);
  const bool fused =
      device->describe().find("AVX") != std::string::npos || device->describe().find("NEON") != std::string::npos;
  constexpr std::size_t kBatch = 1 << 16;
  for (const Act act : kActs) {
    // Those that call the definition for each element need no long look.
    const bool by_definition = act == Act::mish || act >= Act::hardswish;
    const std::uint64_t stride = by_definition ? step * 97 : step;
    std::vector<float> x(kBatch), y(kBatch);
    double worst = 0, worst_x = 0;
    for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32);) {
      for (std::size_t i = 0; i < kBatch; ++i, bits += stride) {
        x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
      }
      apply_all(ops, *device, act, x, y);
      for (std::size_t i = 0; i < kBatch; ++i) {
        const double want = apply(act, static_cast<double>(x[i]));
        if (std::isnan(want)) {
          ASSERT_TRUE(std::isnan(y[i])) << "act " << static_cast<int>(act) << " of " << x[i];
          continue;
        }
        const auto rounded = static_cast<float>(want);
        if (rounded == y[i]) continue;
        ASSERT_TRUE(std::isfinite(y[i])) << "act " << static_cast<int>(act) << " of " << x[i] << ", expected " << want;
        const double off = std::fabs(y[i] - want), bound = allowed(act, x[i], want, fused) + kUnit * std::fabs(want);
        ASSERT_LE(off, bound) << "act " << static_cast<int>(act) << " of " << x[i] << ": expected " << want << ", got "
                              << y[i];
        if (std::fabs(want) > 0x1p-100 && off / (kUnit * std::fabs(want)) > worst && std::fabs(x[i]) < 4) {
          worst = off / (kUnit * std::fabs(want));
          worst_x = x[i];
        }
      }
    }
    if (std::getenv("PKV_ACT_STEP") != nullptr) {
      std::printf("  %s act %d: for |x| < 4 off by at most %.2f * 2^-24 of the result, at %g\n",
                  device->describe().c_str(), static_cast<int>(act), worst, worst_x);
    }
  }
}

TEST(Act, IsItsDefinition) {
  const char* wanted = std::getenv("PKV_ACT_STEP");
  const std::uint64_t step = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 4093;
  for_each_table([step](const Ops& ops) {
    if (ops.name != "naive") visit_floats(ops, step);
  });
}

// The value of an element does not depend on its place in the row.
TEST(Act, PlaceDoesNotMatter) {
  for_each_table([](const Ops& ops) {
    const auto device = ops.open(1);
    for (const Act act : kActs) {
      const float x = -1.2345f;
      std::vector<float> one{x}, y1(1);
      apply_all(ops, *device, act, one, y1);
      for (const std::size_t n : {2, 3, 5, 15, 16, 17, 33, 100}) {
        std::vector<float> many(n, x), y(n);
        apply_all(ops, *device, act, many, y);
        for (const float v : y) ASSERT_EQ(std::bit_cast<std::uint32_t>(v), std::bit_cast<std::uint32_t>(y1[0]));
      }
    }
  });
}

}  // namespace
}  // namespace pkv::kernels
