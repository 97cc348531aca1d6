// SPDX-License-Identifier: Apache-2.0
//
// Loops over the rows of a matrix, cut into tasks that are long enough to hide what a task costs.
#pragma once

#include <algorithm>
#include <cstdint>

#include "nibble/base/thread_pool.h"

namespace nibble {

inline constexpr int64_t kElementsPerRowTask = 64 << 10;

inline int64_t rows_per_task(int64_t cols) {
  return std::max<int64_t>(1, kElementsPerRowTask / std::max<int64_t>(1, cols));
}

// Calls body(begin, end) for ranges of rows of `cols` elements: from all threads of the pool, or
// once where there is none. Rows of a range are no other's.
template <typename Body>
void for_row_ranges(ThreadPool* pool, int64_t rows, int64_t cols, const Body& body) {
  if (pool == nullptr) return body(int64_t{0}, rows);
  pool->parallel_for(rows, rows_per_task(cols), body);
}

}  // namespace nibble
