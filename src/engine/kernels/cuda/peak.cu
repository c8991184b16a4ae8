// What the GPU can do at most: reads of memory that no cache holds, multiply-adds of fp32.
#include <algorithm>

#include "base/error.h"
#include "engine/kernels/cuda/card.cuh"

namespace pkv::kernels::cuda {
namespace {

constexpr std::size_t kBytes = std::size_t{2} << 30;
constexpr int kRounds = 4096, kChains = 8;

__global__ void __launch_bounds__(512) read_kernel(const uint4* from, std::size_t n, std::uint32_t* to) {
  wait_for_operands();
  std::uint32_t sum = 0;
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * 512 * 8;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * 512 * 8 + threadIdx.x; i < n; i += stride) {
    uint4 v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = __ldcs(from + i + j * 512);
#pragma unroll
    for (int j = 0; j < 8; ++j) sum ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  if (sum == 0x12345678u) *to = sum;
}

__global__ void __launch_bounds__(256) fma_kernel(float x, float* to) {
  wait_for_operands();
  float sum[kChains];
  for (int c = 0; c < kChains; ++c) sum[c] = x * static_cast<float>(threadIdx.x + c);
  for (int i = 0; i < kRounds; ++i) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) sum[c] = fmaf(sum[c], x, 0.5f);
  }
  float all = 0;
  for (int c = 0; c < kChains; ++c) all += sum[c];
  if (all == 0.12345f) *to = all;
}

class CardPeak : public Peak {
 public:
  CardPeak(Card& card, Clock clock) : card_(card), clock_(std::move(clock)), memory_(card.slabs.take(kBytes)) {
    if (memory_ == nullptr) {
      fail_load({.what = "not enough memory to measure the GPU",
                 .where = card.describe(),
                 .found = std::to_string(kBytes) + " bytes asked for, and " + card.memory_left()});
    }
    cudaMemsetAsync(memory_, 1, kBytes, card.stream());
  }
  ~CardPeak() override { card_.slabs.give(memory_); }
  CardPeak(const CardPeak&) = delete;
  CardPeak& operator=(const CardPeak&) = delete;

  double read_rate() override {
    return static_cast<double>(kBytes) / best([&] {
             launch(card_, "peak", read_kernel, static_cast<unsigned>(card_.multiprocessors() * 4), 512, 0,
                    static_cast<const uint4*>(memory_), kBytes / 16, static_cast<std::uint32_t*>(memory_));
           });
  }
  double fma_rate() override {
    const auto blocks = static_cast<unsigned>(card_.multiprocessors() * 8);
    const double all = static_cast<double>(blocks) * 256 * kRounds * kChains;
    return all / best([&] { launch(card_, "peak", fma_kernel, blocks, 256, 0, 0.25f, static_cast<float*>(memory_)); });
  }
  std::size_t bytes() const override { return 0; }

 private:
  template <class Body>
  double best(const Body& body) {
    double least = 1e9;
    for (int i = 0; i < 6; ++i) {
      card_.wait();
      const double from = clock_();
      body();
      card_.wait();
      least = std::min(least, clock_() - from);
    }
    return least;
  }

  Card& card_;
  Clock clock_;
  void* memory_;
};

}  // namespace

std::unique_ptr<Peak> measure_peak(Card& card, Clock clock) {
  return std::make_unique<CardPeak>(card, std::move(clock));
}

}  // namespace pkv::kernels::cuda
