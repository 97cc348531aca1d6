// SPDX-License-Identifier: Apache-2.0
//
// One pool of threads for all parallel loops. A decode step runs hundreds of loops of tens of
// microseconds, so workers spin briefly before they sleep. Each thread has a share of consecutive
// chunks, so that it reads memory in one stream, and claims them one by one; whoever is done helps
// the others, so that a descheduled thread holds back one chunk and not its whole share. A worker
// that comes late to a loop is not waited for: when another process takes its core, the rest go on
// without it.
//
// Results never depend on the number of threads as long as each index writes its own output.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace nibble {

class ThreadPool {
 public:
  // 0 takes every processor this process may run on; the calling thread counts as one.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) for consecutive ranges of at most `grain` indices that cover [0, count),
  // from all threads, and returns when all are done. The first exception is rethrown here. A call
  // from inside a body runs serially. Calls from several threads take turns.
  template <typename Body>
  void parallel_for(int64_t count, int64_t grain, const Body& body) {
    run(
        count, grain,
        [](const void* context, int64_t begin, int64_t end) {
          (*static_cast<const Body*>(context))(begin, end);
        },
        &body);
  }

 private:
  static constexpr int kOpen = 1 << 30;
  using Call = void (*)(const void* context, int64_t begin, int64_t end);

  // Chunks of one thread that nobody has claimed yet: [next, end).
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  void run(int64_t count, int64_t grain, Call call, const void* context);
  bool join_job();
  void work_on_job(size_t self);
  void worker_loop(size_t self);

  std::vector<std::thread> workers_;
  std::mutex one_job_;

  // The current job; written by run() while no worker has joined one.
  Call call_ = nullptr;
  const void* context_ = nullptr;
  int64_t count_ = 0, grain_ = 1;
  std::vector<Share> shares_;  // the caller's first
  std::exception_ptr failure_;
  std::mutex failure_mutex_;

  alignas(64) std::atomic<int> joined_{0};      // workers on the job, plus kOpen while one may join
  alignas(64) std::atomic<uint32_t> epoch_{0};  // number of jobs started
  alignas(64) std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace nibble
