// How outputs are shared out among threads.
#include "engine/kernels/cpu/shares.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace pkv::kernels::cpu {
namespace {

TEST(Shares, HoldEveryBlockOnceInOrder) {
  for (std::int64_t blocks = 0; blocks < 300; ++blocks) {
    for (const std::int64_t threads : {1, 2, 3, 16, 64}) {
      const Shares shares(blocks, threads);
      std::int64_t at = 0;
      for (std::int64_t i = 0; i < shares.count(); ++i) {
        const auto [begin, end] = shares.range(i);
        ASSERT_EQ(begin, at) << blocks << " blocks, " << threads << " threads, share " << i;
        ASSERT_LT(begin, end);
        at = end;
      }
      ASSERT_EQ(at, blocks);
    }
  }
}

TEST(TaskOuts, AreWholeLinesWithinTheLimit) {
  for (std::int64_t outs = 1; outs < 1000; ++outs) {
    for (const std::int64_t threads : {1, 2, 3, 16, 64}) {
      for (const std::int64_t row_blocks : {1, 2, 5}) {
        const std::int64_t task = task_outs(outs, row_blocks, threads, 5, 80);
        ASSERT_GE(task, 16);
        ASSERT_LE(task, 80);
        ASSERT_EQ(task % 16, 0);
      }
    }
  }
}

// Of the time of all threads, what is spent on outputs that are asked for.
double busy(std::int64_t outs, std::int64_t row_blocks, std::int64_t threads, std::int64_t task) {
  const std::int64_t tasks = row_blocks * ((outs + task - 1) / task), turns = (tasks + threads - 1) / threads;
  return static_cast<double>(row_blocks * outs) / static_cast<double>(turns * threads * ((task + 4) / 5 * 5));
}

TEST(TaskOuts, KeepMoreThreadsBusyThanTheLargestTasks) {
  EXPECT_LT(busy(768, 1, 16, 80), 0.65);
  EXPECT_GT(busy(768, 1, 16, task_outs(768, 1, 16, 5, 80)), 0.95);
  for (const std::int64_t outs : {768, 1600, 2304, 3072, 4544, 8192}) {
    for (const std::int64_t row_blocks : {1, 4}) {
      for (const std::int64_t threads : {1, 2, 6, 8, 16, 64}) {
        const double ours = busy(outs, row_blocks, threads, task_outs(outs, row_blocks, threads, 5, 80));
        EXPECT_GE(ours, busy(outs, row_blocks, threads, 80)) << outs << " for " << threads;
      }
    }
  }
}

}  // namespace
}  // namespace pkv::kernels::cpu
