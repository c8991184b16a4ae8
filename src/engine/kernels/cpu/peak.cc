#include "engine/kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/peak.cc"
#include "hwy/foreach_target.h"
//
#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "base/clock.h"
#include "engine/kernels/cpu/peak.h"
#include "engine/kernels/host.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pkv::kernels::peak::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using Vec = hn::Vec<Floats>;
constexpr std::int64_t kLanes = HWY_LANES(float);

// Adds up `Streams` pieces side by side, each `length` floats long, `apart` floats from the next; with `Fetch`, lines
// are asked for 4 KiB before their use.
template <int Streams, bool Fetch>
float read_streams(const float* from, std::int64_t apart, std::int64_t length) {
  const Floats d;
  Vec sums[Streams];
  for (Vec& s : sums) s = hn::Zero(d);
  for (std::int64_t i = 0; i < length; i += 16) {
    for (int s = 0; s < Streams; ++s) {
      if (Fetch) __builtin_prefetch(from + s * apart + i + 1024, 0, 0);
      for (std::int64_t j = 0; j < 16; j += kLanes) {
        sums[s] = hn::Add(sums[s], hn::LoadU(d, from + s * apart + i + j));
      }
    }
  }
  Vec all = sums[0];
  for (int s = 1; s < Streams; ++s) all = hn::Add(all, sums[s]);
  return hn::GetLane(hn::SumOfLanes(d, all));
}

float read_piece(const float* from, std::int64_t floats, int pattern) {
  switch (pattern) {
    case 0:
      return read_streams<1, false>(from, floats, floats);
    case 1:
      return read_streams<1, true>(from, floats, floats);
    case 2:
      return read_streams<4, false>(from, floats / 4, floats / 4);
    default:
      return read_streams<8, false>(from, floats / 8, floats / 8);
  }
}

// `steps` times twelve independent multiply-adds: enough to fill two pipes of four cycles, few enough for 16 registers.
float multiply_add(std::int64_t steps, float x) {
  const Floats d;
  const Vec a = hn::Set(d, x), b = hn::Set(d, 1 - x);
  // Different from each other, or the compiler keeps only one of them.
  const auto from = [&](float f) HWY_ATTR { return hn::Set(d, x * f); };
  Vec s0 = from(1), s1 = from(2), s2 = from(3), s3 = from(4), s4 = from(5), s5 = from(6), s6 = from(7), s7 = from(8),
      s8 = from(9), s9 = from(10), s10 = from(11), s11 = from(12);
  for (std::int64_t i = 0; i < steps; ++i) {
    s0 = hn::MulAdd(s0, a, b);
    s1 = hn::MulAdd(s1, a, b);
    s2 = hn::MulAdd(s2, a, b);
    s3 = hn::MulAdd(s3, a, b);
    s4 = hn::MulAdd(s4, a, b);
    s5 = hn::MulAdd(s5, a, b);
    s6 = hn::MulAdd(s6, a, b);
    s7 = hn::MulAdd(s7, a, b);
    s8 = hn::MulAdd(s8, a, b);
    s9 = hn::MulAdd(s9, a, b);
    s10 = hn::MulAdd(s10, a, b);
    s11 = hn::MulAdd(s11, a, b);
  }
  const Vec sum = hn::Add(hn::Add(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), hn::Add(s4, s5)),
                          hn::Add(hn::Add(hn::Add(s6, s7), hn::Add(s8, s9)), hn::Add(s10, s11)));
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

std::int64_t lanes() { return kLanes; }

}  // namespace
}  // namespace pkv::kernels::peak::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pkv::kernels::peak {
namespace {
HWY_EXPORT(read_piece);
HWY_EXPORT(multiply_add);
HWY_EXPORT(lanes);

std::atomic<float> sink;  // keeps the compiler from dropping the work
}  // namespace

Memory::Memory(WorkerPool& pool, std::size_t bytes) : size_(bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  data_ = static_cast<float*>(std::aligned_alloc(kHugePage, (bytes + kHugePage - 1) / kHugePage * kHugePage));
  if (data_ == nullptr) throw std::bad_alloc();
  ::madvise(data_, bytes, MADV_HUGEPAGE);
  constexpr std::size_t kPiece = kHugePage / sizeof(float);
  const std::size_t floats = bytes / sizeof(float);
  pool.parallel_for(static_cast<std::int64_t>((floats + kPiece - 1) / kPiece), [&](std::int64_t piece) noexcept {
    const std::size_t from = static_cast<std::size_t>(piece) * kPiece;
    for (std::size_t i = from; i < std::min(from + kPiece, floats); ++i) data_[i] = static_cast<float>(i % 7);
  });
}

double read_rate(WorkerPool& pool, const Memory& memory, int pattern, Clock clock) {
  constexpr std::int64_t kPiece = 1 << 18;  // 1 MiB a task
  const float* from = memory.data();
  const auto pieces = static_cast<std::int64_t>(memory.size() / sizeof(float)) / kPiece;
  const double start = clock();
  pool.parallel_for(pieces, [&](std::int64_t i) noexcept {
    sink.store(HWY_DYNAMIC_DISPATCH(read_piece)(from + i * kPiece, kPiece, pattern), std::memory_order_relaxed);
  });
  return static_cast<double>(pieces * kPiece) * 4e-9 / (clock() - start);
}

double best_read_rate(WorkerPool& pool, const Memory& memory, Clock clock) {
  double best = 0;
  for (int pattern = 0; pattern < kReadPatterns; ++pattern)
    best = std::max(best, read_rate(pool, memory, pattern, clock));
  return best;
}

double fma_rate(WorkerPool& pool, Clock clock) {
  constexpr std::int64_t kSteps = 500'000;
  const std::int64_t tasks = 4 * pool.threads();
  const double start = clock();
  pool.parallel_for(tasks, [&](std::int64_t i) noexcept {
    const float x = 0.5f + static_cast<float>(i) * 1e-3f;
    sink.store(HWY_DYNAMIC_DISPATCH(multiply_add)(kSteps, x), std::memory_order_relaxed);
  });
  const auto done = static_cast<double>(tasks * kSteps * 12 * HWY_DYNAMIC_DISPATCH(lanes)());
  return done * 1e-9 / (clock() - start);
}

namespace {

class HostPeak : public Peak {
 public:
  HostPeak(WorkerPool& pool, Clock clock) : pool_(pool), clock_(std::move(clock)), memory_(pool) {}
  double read_rate() override { return 1e9 * best_read_rate(pool_, memory_, clock_); }
  double fma_rate() override { return 1e9 * peak::fma_rate(pool_, clock_); }
  std::size_t bytes() const override { return memory_.size(); }

 private:
  WorkerPool& pool_;
  Clock clock_;
  Memory memory_;
};

}  // namespace

std::unique_ptr<Peak> open(Device& device, Clock clock) {
  return std::make_unique<HostPeak>(host::pool_of(device), std::move(clock));
}

}  // namespace pkv::kernels::peak
#endif
