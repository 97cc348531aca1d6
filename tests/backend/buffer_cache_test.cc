// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/buffer_cache.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace nibble::cpu {
namespace {

constexpr size_t kMiB = 1 << 20;

TEST(BufferCache, GivesTheSameMemoryAgain) {
  BufferCache cache(8 * kMiB);
  void* first = cache.allocate(kMiB + 1000)->data();
  EXPECT_GE(cache.idle_bytes(), kMiB + 1000);
  const auto similar = cache.allocate(kMiB + 5);  // rounds to the same size
  EXPECT_EQ(similar->data(), first);
  EXPECT_EQ(similar->size(), kMiB + 5);
  EXPECT_EQ(cache.idle_bytes(), 0u);
  EXPECT_NE(cache.allocate(kMiB + 5)->data(), first);  // in use
}

TEST(BufferCache, KeepsNoMoreThanItMay) {
  BufferCache cache(2 * kMiB);
  {
    const auto a = cache.allocate(kMiB), b = cache.allocate(kMiB), c = cache.allocate(kMiB);
    EXPECT_EQ(cache.idle_bytes(), 0u);
  }
  EXPECT_EQ(cache.idle_bytes(), 2 * kMiB);
  cache.allocate(4 * kMiB);
  EXPECT_EQ(cache.idle_bytes(), 2 * kMiB);
}

TEST(BufferCache, LeavesSmallSizesToMalloc) {
  BufferCache cache(kMiB);
  EXPECT_EQ(cache.allocate(0)->size(), 0u);
  EXPECT_EQ(cache.allocate(1000)->size(), 1000u);
  EXPECT_EQ(cache.idle_bytes(), 0u);
}

TEST(BufferCache, RefusesWhatNoMachineHas) {
  BufferCache cache(kMiB);
  EXPECT_THROW(cache.allocate(~size_t{0} - 5), std::bad_alloc);
}

TEST(BufferCache, BuffersOutliveIt) {
  std::shared_ptr<Buffer> buffer;
  {
    BufferCache cache(4 * kMiB);
    buffer = cache.allocate(kMiB);
  }
  static_cast<char*>(buffer->data())[kMiB - 1] = 1;
}

TEST(BufferCache, ServesSeveralThreads) {
  BufferCache cache(16 * kMiB);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int id = 0; id < 4; ++id) {
    threads.emplace_back([&, id] {
      for (int i = 0; i < 200; ++i) {
        const auto buffer = cache.allocate(kMiB / 8 + static_cast<size_t>(i % 3) * kMiB / 4);
        auto* bytes = static_cast<unsigned char*>(buffer->data());
        bytes[0] = bytes[buffer->size() - 1] = static_cast<unsigned char>(id);
        std::this_thread::yield();
        if (bytes[0] != id || bytes[buffer->size() - 1] != id) ++wrong[static_cast<size_t>(id)];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace nibble::cpu
