#include "base/caches.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

namespace pkv {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMiB = std::size_t{1} << 20, kGiB = std::size_t{1} << 30;

// A machine's /sys and /proc, made up.
class BeyondCaches : public testing::Test {
 protected:
  ~BeyondCaches() override { fs::remove_all(root_); }

  void write(const std::string& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text << '\n';
  }
  void cache(int cpu, int index, int level, const char* type, const char* size, const std::string& shared) {
    const std::string folder = fmt::format("sys/devices/system/cpu/cpu{}/cache/index{}/", cpu, index);
    write(folder + "level", std::to_string(level));
    write(folder + "type", type);
    write(folder + "size", size);
    write(folder + "shared_cpu_list", shared);
  }
  // A cache of the first and one of the third level for every two of its processors.
  void processors(int count, const char* third) {
    for (int cpu = 0; cpu < count; ++cpu) {
      const std::string pair = fmt::format("{}-{}", cpu / 2 * 2, cpu / 2 * 2 + 1);
      cache(cpu, 0, 1, "Data", "512K", std::to_string(cpu));
      cache(cpu, 1, 1, "Instruction", "4096K", std::to_string(cpu));
      cache(cpu, 2, 3, "Unified", third, pair);
    }
  }
  void memory(std::size_t bytes) {
    write("proc/meminfo", fmt::format("MemTotal:  99999999 kB\nMemFree: 1 kB\nMemAvailable:   {} kB", bytes >> 10));
  }
  std::size_t bytes() const { return beyond_caches(root_); }

  fs::path root_ = fs::path(testing::TempDir()) / fmt::format("pkv_caches_{}", getpid());
};

TEST_F(BeyondCaches, AreTwiceAllOfThemEachCountedOnce) {
  processors(8, "98304K");
  memory(64 * kGiB);
  EXPECT_EQ(bytes(), 2 * (4 * 96 * kMiB + 8 * kMiB / 2));
}

TEST_F(BeyondCaches, AreAtLeast128MiB) {
  processors(2, "2M");
  memory(64 * kGiB);
  EXPECT_EQ(bytes(), 128 * kMiB);
}

TEST_F(BeyondCaches, AreNoMoreThanThereIsRoomFor) {
  processors(8, "98304K");
  memory(4 * kGiB);
  EXPECT_EQ(bytes(), 512 * kMiB);
  memory(kGiB / 2);
  EXPECT_EQ(bytes(), 128 * kMiB);
}

TEST_F(BeyondCaches, FitAContainer) {
  processors(8, "98304K");
  memory(64 * kGiB);
  write("proc/self/cgroup", "9:name=systemd:/\n4:memory:/pod/one\n0::/");
  write("sys/fs/cgroup/memory/pod/one/memory.limit_in_bytes", "9223372036854771712");
  EXPECT_EQ(bytes(), 776 * kMiB) << "which is no limit";
  write("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", std::to_string(3 * kGiB));
  EXPECT_EQ(bytes(), 384 * kMiB);
  write("proc/self/cgroup", "0::/pod/two");
  write("sys/fs/cgroup/pod/two/memory.max", "max");
  EXPECT_EQ(bytes(), 776 * kMiB);
  write("sys/fs/cgroup/memory.max", std::to_string(2 * kGiB));
  EXPECT_EQ(bytes(), 256 * kMiB);
}

TEST_F(BeyondCaches, AreSomethingWhereTheSystemTellsNothing) {
  EXPECT_EQ(beyond_caches(root_ / "missing"), 128 * kMiB);
  write("sys/devices/system/cpu/cpu0/cache/index0/type", "Unified");
  write("sys/devices/system/cpu/online", "0");
  write("proc/meminfo", "MemAvailable: many kB");
  write("proc/self/cgroup", "0::\n\nmemory\n4:memory");
  EXPECT_EQ(bytes(), 128 * kMiB);
}

TEST(BeyondCachesHere, IsAnAmountOfMemory) {
  EXPECT_GE(beyond_caches(), 128 * kMiB);
  EXPECT_LT(beyond_caches(), 64 * kGiB);
}

}  // namespace
}  // namespace pkv
