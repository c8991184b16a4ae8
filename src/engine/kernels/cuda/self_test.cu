// Whether the GPU's matrix instructions compute what law/step.h says, on which the table is built: chains of steps of
// both formats against the host's model, bit for bit. Takes about a millisecond.
#include <vector>

#include "base/random.h"
#include "engine/kernels/cuda/card.cuh"
#include "engine/kernels/cuda/product.cuh"
#include "engine/kernels/law/step.h"

namespace pkv::kernels::cuda {
namespace {

constexpr int kSteps = 4, kCases = 8;
constexpr int kIn = 16 * kSteps, kA = 16 * kIn, kB = 8 * kIn;  // elements of the operands of a case

// A warp a case: a [16, kIn], b [8, kIn], d [16, 8].
template <bool kHalves>
__global__ void __launch_bounds__(32) chain_kernel(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  wait_for_operands();
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  a += blockIdx.x * kA, b += blockIdx.x * kB, d += blockIdx.x * 128;
  float sum[4] = {};
  const auto pair = [](const std::uint16_t* p) { return *reinterpret_cast<const std::uint32_t*>(p); };
  for (int k = 0; k < kIn; k += 16) {
    const std::uint16_t *low = a + g * kIn + k + 2 * t, *high = low + 8 * kIn, *of_b = b + g * kIn + k + 2 * t;
    const uint4 of_a = make_uint4(pair(low), pair(high), pair(low + 8), pair(high + 8));
    if constexpr (kHalves) {
      mma_halves(sum, of_a, pair(of_b), pair(of_b + 8));
    } else {
      mma_bf16(sum, of_a, pair(of_b), pair(of_b + 8));
    }
  }
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

// Operands that are normal, wide, cancelling, or partly 0.
float operand(bool halves, std::uint64_t seed, std::uint64_t i) {
  const float x = random_signed(seed, i);
  switch (seed % 4) {
    case 0:
      return x;
    case 1:
      return x * law::power_of_two(static_cast<std::int32_t>(i * 7 % (halves ? 12 : 30)) - (halves ? 6 : 15));
    case 2:
      return i % 2 == 0 ? 1 + x / 256 : -1 + x / 256;
    default:
      return i % 3 == 0 ? 0 : x * 64;
  }
}

template <bool kHalves>
std::string differs(Card& card) {
  std::vector<std::uint16_t> operands(kCases * (kA + kB));
  const auto narrow = [](float x) { return kHalves ? law::half_of(x) : law::bf16_of(x); };
  for (int c = 0; c < kCases; ++c) {
    for (int i = 0; i < kA; ++i) {
      operands[static_cast<std::size_t>(c * kA + i)] =
          narrow(operand(kHalves, static_cast<std::uint64_t>(c), static_cast<std::uint64_t>(i)));
    }
    for (int i = 0; i < kB; ++i) {
      operands[static_cast<std::size_t>(kCases * kA + c * kB + i)] =
          narrow(operand(kHalves, static_cast<std::uint64_t>(c) + 100, static_cast<std::uint64_t>(i)));
    }
  }
  std::vector<float> results(kCases * 128);
  const std::size_t bytes = operands.size() * 2;
  auto* memory = static_cast<std::byte*>(card.slabs.take(bytes + results.size() * 4));
  if (memory == nullptr) return "there is no memory left on it (" + card.memory_left() + ")";
  card.upload(memory, operands.data(), bytes);
  const auto* a = reinterpret_cast<const std::uint16_t*>(memory);
  auto* d = reinterpret_cast<float*>(memory + bytes);
  launch(card, "self-test", chain_kernel<kHalves>, kCases, 32, 0, a, a + kCases * kA, d);
  card.download(results.data(), d, results.size() * 4);
  card.slabs.give(memory);
  if (std::string failure = card.wait(); !failure.empty()) return failure;
  for (int c = 0; c < kCases; ++c) {
    for (int o = 0; o < 16; ++o) {
      for (int r = 0; r < 8; ++r) {
        const std::uint16_t *w = operands.data() + c * kA + o * kIn,
                            *x = operands.data() + kCases * kA + c * kB + r * kIn;
        float sum = 0;
        for (int k = 0; k < kIn; k += 16) {
          sum = kHalves ? law::step_of_halves(w + k, x + k, sum) : law::step_of_bf16(w + k, x + k, sum);
        }
        const float got = results[static_cast<std::size_t>(c * 128 + o * 8 + r)];
        if (law::bits_of(got) == law::bits_of(sum)) continue;
        return std::string("mma.sync of ") + (kHalves ? "fp16" : "bf16") + " gives other bits than the law";
      }
    }
  }
  return {};
}

}  // namespace

std::string self_test(Card& card) {
  if (std::string wrong = differs<true>(card); !wrong.empty()) return wrong;
  return differs<false>(card);
}

}  // namespace pkv::kernels::cuda
