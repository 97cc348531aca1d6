// SPDX-License-Identifier: Apache-2.0
//
// The two limits that kernels are measured against: how fast the threads of a pool together read
// memory, and how many float operations they do in registers.
#pragma once

#include <cstddef>
#include <span>

#include "nibble/base/thread_pool.h"

namespace nibble::bench {

// Reads all of `bytes` once from all threads; returns their sum so that the reads are needed.
float read_all(ThreadPool& pool, std::span<const float> values);

// Every thread runs `steps` rounds of independent multiply-adds in registers; returns the float
// operations done by all (a multiply-add counts two).
double multiply_add(ThreadPool& pool, int64_t steps);

struct MachineLimits {
  double bytes_per_second = 0, flops_per_second = 0;
};

// The best of several short runs (about a second in all): other work on the machine only ever makes
// a run slower.
MachineLimits measure_limits(ThreadPool& pool);

}  // namespace nibble::bench
