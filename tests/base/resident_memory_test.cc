// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/resident_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace nibble {
namespace {

// g++ names its sanitizers by macros, clang as features.
#if !defined(__GLIBC__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kGlibcAllocates = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kGlibcAllocates = false;
#else
constexpr bool kGlibcAllocates = true;
#endif
#else
constexpr bool kGlibcAllocates = true;
#endif

constexpr int64_t kBlock = int64_t{64} << 20;
// Other pages may come and go meanwhile, those of the test's code among them.
constexpr int64_t kSlack = int64_t{16} << 20;

// Not from the allocator, which need not give memory back.
class WrittenPages {
 public:
  explicit WrittenPages(int64_t bytes) : size_(static_cast<size_t>(bytes)) {
    pages_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages_ == MAP_FAILED) throw std::bad_alloc();
    std::memset(pages_, 1, size_);
  }
  WrittenPages(const WrittenPages&) = delete;
  WrittenPages& operator=(const WrittenPages&) = delete;
  ~WrittenPages() { munmap(pages_, size_); }

 private:
  void* pages_;
  size_t size_;
};

class ResidentMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/proc/self/status")) GTEST_SKIP() << "needs Linux's /proc";
  }
};

TEST_F(ResidentMemoryTest, CountsWhatWasWritten) {
  const ResidentMemory before = resident_memory();
  ASSERT_TRUE(before.bytes && before.peak_bytes);
  const WrittenPages pages(kBlock);
  const ResidentMemory with = resident_memory();
  EXPECT_NEAR(static_cast<double>(*with.bytes - *before.bytes), kBlock, kSlack);
  EXPECT_GE(*with.peak_bytes + kSlack, *with.bytes);
}

TEST_F(ResidentMemoryTest, ThePeakOutlivesTheMemoryUntilItIsReset) {
  {
    const WrittenPages pages(kBlock);
  }
  const ResidentMemory after = resident_memory();
  EXPECT_GT(*after.peak_bytes - *after.bytes, kBlock - kSlack);
  if (!reset_peak_resident_memory()) GTEST_SKIP() << "the system does not let the peak be reset";
  const ResidentMemory reset = resident_memory();
  EXPECT_NEAR(static_cast<double>(*reset.peak_bytes), static_cast<double>(*reset.bytes), kSlack);
}

TEST_F(ResidentMemoryTest, FreedMemoryGoesBack) {
  if (!kGlibcAllocates) GTEST_SKIP() << "needs the allocator of glibc";
  constexpr int64_t kSmall = 32 << 10;  // below what malloc maps apart
  std::vector<std::unique_ptr<std::string>> blocks;
  for (int64_t i = 0; i < kBlock / kSmall; ++i) {
    blocks.push_back(std::make_unique<std::string>(kSmall, 'x'));
  }
  const std::string last(kSmall, 'x');  // keeps free() from giving back what lies before it
  blocks.clear();
  const int64_t kept = *resident_memory().bytes;
  return_freed_memory();
  EXPECT_GT(kept - *resident_memory().bytes, kBlock / 2);
}

}  // namespace
}  // namespace nibble
