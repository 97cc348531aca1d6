// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/thread_pool.h"

#include <sched.h>

#include <algorithm>

namespace nibble {
namespace {

// About 20 microseconds of pauses: longer than the gap between two kernels of a decode step, short
// enough not to burn a core that another process could use.
constexpr int kSpins = 2000;
// The caller waits at most this many pauses before it yields its core to a descheduled worker.
constexpr int kSpinsBeforeYield = 2000;

thread_local bool inside_parallel_for = false;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : shares_(static_cast<size_t>(threads > 0 ? threads : available_processors())) {
  for (size_t i = 1; i < shares_.size(); ++i) workers_.emplace_back([this, i] { worker_loop(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t count, int64_t grain, Call call, const void* context) {
  if (count <= 0) return;
  grain = std::max<int64_t>(1, grain);
  if (workers_.empty() || inside_parallel_for || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) {
      call(context, begin, std::min(count, begin + grain));
    }
    return;
  }
  std::lock_guard lock(one_job_);
  call_ = call;
  context_ = context;
  count_ = count;
  grain_ = grain;
  failure_ = nullptr;
  const int64_t chunks = (count - 1) / grain + 1, threads = static_cast<int64_t>(shares_.size());
  const int64_t each = chunks / threads, more = chunks % threads;  // the first `more` get one more
  int64_t begin = 0;
  for (int64_t i = 0; i < threads; ++i) {
    Share& share = shares_[static_cast<size_t>(i)];
    share.next.store(begin, std::memory_order_relaxed);
    begin += each + (i < more ? 1 : 0);
    share.end = begin;
  }
  joined_.store(kOpen, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) epoch_.notify_all();

  work_on_job(0);
  joined_.fetch_and(~kOpen, std::memory_order_acq_rel);
  int spins = 0;
  while (joined_.load(std::memory_order_acquire) > 0) {
    if (++spins < kSpinsBeforeYield) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
  if (failure_) std::rethrow_exception(failure_);
}

// False when the job is over: its fields may change at any time and must not be read.
bool ThreadPool::join_job() {
  int joined = joined_.load(std::memory_order_relaxed);
  while ((joined & kOpen) != 0) {
    if (joined_.compare_exchange_weak(joined, joined + 1, std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void ThreadPool::work_on_job(size_t self) {
  inside_parallel_for = true;
  for (size_t i = 0; i < shares_.size(); ++i) {
    Share& share = shares_[(self + i) % shares_.size()];
    for (;;) {
      const int64_t chunk = share.next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= share.end) break;
      try {
        call_(context_, chunk * grain_, std::min(count_, (chunk + 1) * grain_));
      } catch (...) {
        std::lock_guard lock(failure_mutex_);
        if (!failure_) failure_ = std::current_exception();
        for (Share& rest : shares_) rest.next.store(rest.end, std::memory_order_relaxed);
      }
    }
  }
  inside_parallel_for = false;
}

void ThreadPool::worker_loop(size_t self) {
  uint32_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && epoch_.load(std::memory_order_acquire) == seen; ++i) pause();
    if (epoch_.load(std::memory_order_acquire) == seen) {
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      epoch_.wait(seen, std::memory_order_seq_cst);
      sleeping_.fetch_sub(1, std::memory_order_relaxed);
    }
    if (epoch_.load(std::memory_order_acquire) == seen) continue;  // spurious wake
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    if (!join_job()) continue;
    work_on_job(self);
    joined_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace nibble
