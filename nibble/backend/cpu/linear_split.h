// SPDX-License-Identifier: Apache-2.0
//
// How the rows of one or several weights with the same x are split over threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "nibble/backend/cpu/linear_kernels.h"
#include "nibble/base/thread_pool.h"

namespace nibble::cpu {

// One weight and its part of a product: the args of all jobs of a product differ in bias and y
// only.
struct LinearJob {
  WeightView weight;
  LinearArgs args;
};

// Calls kernel(job, rows) until the rows of all jobs are covered.
template <typename Kernel>
void for_row_ranges(ThreadPool& pool, std::span<const LinearJob> jobs, const Kernel& kernel) {
  // Bytes of weight per task of the fused kernels: small enough to balance threads, large enough
  // (microseconds of memory traffic) to pay for handing it out and for restarting the prefetcher.
  constexpr int64_t kMinTaskBytes = 16 << 10, kMaxTaskBytes = 256 << 10, kTasksPerThread = 2;
  int64_t rows = 0;
  for (const LinearJob& job : jobs) rows += job.weight.rows;
  const int64_t bytes = jobs.front().weight.row_bytes();
  const int64_t share = rows * bytes / (kTasksPerThread * pool.threads());
  const int64_t grain =
      std::max<int64_t>(1, std::clamp(share, kMinTaskBytes, kMaxTaskBytes) / bytes);
  pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const LinearJob& job : jobs) {
      const RowRange range{std::max<int64_t>(begin - first, 0),
                           std::min(end - first, job.weight.rows)};
      if (range.begin < range.end) kernel(job, range);
      first += job.weight.rows;
    }
  });
}

// Calls kernel(job, rows, token_begin, token_end) for panels that cover all products.
template <typename Kernel>
void for_panels(ThreadPool& pool, std::span<const LinearJob> jobs, const Kernel& kernel) {
  // A panel's sums (rows x tokens x 4 bytes) and its decoded tile share the L2 cache. Its height is
  // a multiple of those of the register tiles, down to a quarter.
  constexpr int64_t kPanelTokens = 512, kPanelRows = 48;
  const int64_t tokens = jobs.front().args.tokens;
  const int64_t token_panels = (tokens + kPanelTokens - 1) / kPanelTokens;
  const auto panels_of = [&](const LinearJob& job, int64_t height) {
    return (job.weight.rows + height - 1) / height * token_panels;
  };
  const auto panels = [&](int64_t height) {
    int64_t count = 0;
    for (const LinearJob& job : jobs) count += panels_of(job, height);
    return count;
  };
  // Narrower panels when small matrices would not give every thread a few.
  int64_t height = kPanelRows;
  while (height > kPanelRows / 4 && panels(height) < 4 * pool.threads()) height /= 2;
  pool.parallel_for(panels(height), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      size_t of = 0;
      int64_t panel = i;
      while (panel >= panels_of(jobs[of], height)) panel -= panels_of(jobs[of++], height);
      const int64_t row = panel / token_panels * height;
      const int64_t token = panel % token_panels * kPanelTokens;
      kernel(jobs[of], RowRange{row, std::min(row + height, jobs[of].weight.rows)}, token,
             std::min(token + kPanelTokens, tokens));
    }
  });
}

}  // namespace nibble::cpu
