#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "engine/kernels/host.h"

// The address sanitizer's allocator ends the program where there is no memory, unless it is told to say so.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

namespace pkv::kernels::host {
namespace {

constexpr std::size_t kMega = std::size_t{1} << 20;

bool aligned(const void* memory, std::size_t to) { return reinterpret_cast<std::uintptr_t>(memory) % to == 0; }

TEST(Store, SmallPiecesAreAlignedToALine) {
  Store store;
  for (const std::size_t bytes : {0, 1, 64, 1000}) {
    void* memory = store.take(bytes);
    ASSERT_NE(memory, nullptr);
    EXPECT_TRUE(aligned(memory, 64)) << bytes;
    std::memset(memory, 1, bytes);
    store.give(memory);
  }
}

TEST(Store, LargePiecesBeginAtAHugePageAndAreTakenAgain) {
  Store store;
  void* one = store.take(5 * kMega);
  ASSERT_NE(one, nullptr);
  EXPECT_TRUE(aligned(one, 2 * kMega));
  store.give(one);
  EXPECT_EQ(store.take(6 * kMega), one) << "both take three huge pages";
  void* other = store.take(6 * kMega);
  EXPECT_NE(other, one) << "that one is in use";
  store.give(one);
  store.give(other);
}

TEST(Store, SaysWhenThereIsNoMemory) {
  Store store;
  EXPECT_EQ(store.take(SIZE_MAX), nullptr);
  EXPECT_EQ(store.take(SIZE_MAX / 2), nullptr);
}

}  // namespace
}  // namespace pkv::kernels::host
