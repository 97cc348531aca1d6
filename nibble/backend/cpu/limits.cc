// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

#include "nibble/backend/cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/limits.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float SumFloats(const float* values, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    sum0 = hn::Add(sum0, hn::LoadU(d, values + i));
    sum1 = hn::Add(sum1, hn::LoadU(d, values + i + lanes));
    sum2 = hn::Add(sum2, hn::LoadU(d, values + i + 2 * lanes));
    sum3 = hn::Add(sum3, hn::LoadU(d, values + i + 3 * lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
}

// Ten chains of multiply-adds: enough to hide their latency on two units. Returns their number.
double MultiplyAdds(int64_t steps, float* result) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999f), term = hn::Set(d, *result);
  auto a = hn::Zero(d), b = a, c = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a;
  for (int64_t step = 0; step < steps; ++step) {
    a = hn::MulAdd(a, factor, term);
    b = hn::MulAdd(b, factor, term);
    c = hn::MulAdd(c, factor, term);
    e = hn::MulAdd(e, factor, term);
    f = hn::MulAdd(f, factor, term);
    g = hn::MulAdd(g, factor, term);
    h = hn::MulAdd(h, factor, term);
    i = hn::MulAdd(i, factor, term);
    j = hn::MulAdd(j, factor, term);
    k = hn::MulAdd(k, factor, term);
  }
  const auto sum = hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)),
                           hn::Add(hn::Add(f, g), hn::Add(hn::Add(h, i), hn::Add(j, k))));
  *result = hn::GetLane(hn::SumOfLanes(d, sum));
  return static_cast<double>(steps) * 10 * static_cast<double>(hn::Lanes(d));
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(SumFloats);
HWY_EXPORT(MultiplyAdds);

namespace {

// Reads all values once from all threads; their sum is what the reads are needed for.
float sum_all(ThreadPool& pool, const std::vector<float>& values) {
  constexpr int64_t kGrain = 256 << 10;  // 1 MiB
  std::atomic<float> total{0.0f};
  pool.parallel_for(static_cast<int64_t>(values.size()), kGrain, [&](int64_t begin, int64_t end) {
    const float part =
        HWY_DYNAMIC_DISPATCH(SumFloats)(values.data() + begin, static_cast<size_t>(end - begin));
    total.fetch_add(part, std::memory_order_relaxed);
  });
  return total.load();
}

double multiply_adds(ThreadPool& pool, int64_t steps) {
  std::atomic<double> operations{0.0};
  pool.parallel_for(pool.threads(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float result = 1.0f;
      const double done = HWY_DYNAMIC_DISPATCH(MultiplyAdds)(steps, &result);
      // `result` is positive; the comparison only keeps the work from being optimized away.
      if (result > 0.0f) operations.fetch_add(done, std::memory_order_relaxed);
    }
  });
  return operations.load();
}

}  // namespace

DeviceLimits measure_limits(ThreadPool& pool) {
  constexpr int kRuns = 6;
  constexpr int64_t kSteps = 2 << 20;                       // about 5 ms
  const std::vector<float> values(size_t{32} << 20, 1.0f);  // 128 MiB: no cache holds it
  const auto best = [](const auto& run) {
    double fastest = 0.0;
    for (int i = 0; i < kRuns; ++i) {
      const auto start = std::chrono::steady_clock::now();
      const double amount = run();
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      fastest = std::max(fastest, amount / seconds.count());
    }
    return fastest;
  };
  DeviceLimits limits;
  limits.read_bytes_per_second = best([&] {
    return sum_all(pool, values) > 0.0f ? static_cast<double>(values.size() * sizeof(float)) : 0.0;
  });
  limits.multiply_adds_per_second = best([&] { return multiply_adds(pool, kSteps); });
  return limits;
}

}  // namespace nibble::cpu
#endif
