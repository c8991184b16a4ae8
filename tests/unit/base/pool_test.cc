#include "base/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace pkv {
namespace {

class PoolOf : public testing::TestWithParam<int> {};

TEST_P(PoolOf, RunsEveryIndexOnce) {
  WorkerPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (int count : {0, 1, 2, 3, 17, 1000}) {
    std::vector<std::atomic<int>> hits(static_cast<std::size_t>(count));
    pool.parallel_for(count, [&](std::int64_t i) noexcept { hits[static_cast<std::size_t>(i)]++; });
    for (const auto& h : hits) ASSERT_EQ(h.load(), 1) << "count " << count;
  }
}

TEST_P(PoolOf, ManyShortLoops) {
  WorkerPool pool(GetParam());
  std::atomic<std::int64_t> sum{0};
  for (int loop = 0; loop < 2000; ++loop) {
    pool.parallel_for(5, [&](std::int64_t i) noexcept { sum += i; });
  }
  EXPECT_EQ(sum.load(), 2000 * 10);
}

TEST_P(PoolOf, NestedLoopsRunOnTheirCaller) {
  WorkerPool pool(GetParam());
  std::atomic<int> sum{0};
  pool.parallel_for(8, [&](std::int64_t) noexcept { pool.parallel_for(8, [&](std::int64_t) noexcept { sum++; }); });
  EXPECT_EQ(sum.load(), 64);
}

TEST_P(PoolOf, TwoThreadsShareIt) {
  WorkerPool pool(GetParam());
  std::atomic<int> sum{0};
  const auto user = [&] {
    for (int k = 0; k < 200; ++k) pool.parallel_for(10, [&](std::int64_t) noexcept { sum++; });
  };
  std::thread other(user);
  user();
  other.join();
  EXPECT_EQ(sum.load(), 4000);
}

INSTANTIATE_TEST_SUITE_P(Threads, PoolOf, testing::Values(1, 2, 3, 16));

TEST(Pool, ZeroMeansPhysicalCores) { EXPECT_EQ(WorkerPool(0).threads(), physical_cores()); }

}  // namespace
}  // namespace pkv
