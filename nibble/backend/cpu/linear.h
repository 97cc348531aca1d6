// SPDX-License-Identifier: Apache-2.0
//
// Chooses the kernel of a linear layer by layout, activation mode and number of tokens, and splits
// its weight rows over the pool.
#pragma once

#include <span>

#include "nibble/backend/cpu/buffer_cache.h"
#include "nibble/backend/cpu/linear_kernels.h"
#include "nibble/base/thread_pool.h"

namespace nibble::cpu {

// Up to so many tokens take one fused pass over the weight, which then beats packing and tiling:
// the groups of tokens would be half padding.
int64_t few_tokens();

// One of several products of the same x.
struct LinearOutput {
  const Weight* weight = nullptr;  // [rows, cols]
  const float* bias = nullptr;     // [rows] or null
  float* y = nullptr;              // [tokens, rows]
};

// y = x [tokens, cols] Wᵀ + bias for each output; the weights' cols are equal. Neighbours that read
// x in the same form share it, and one loop over threads.
void linear(ThreadPool& pool, BufferCache& buffers, const float* x, int64_t tokens,
            std::span<const LinearOutput> outputs);

// y [tokens, cols] = rows `ids` [tokens] of the table, decoded.
void embedding(ThreadPool& pool, const Weight& table, const int32_t* ids, int64_t tokens, float* y);

}  // namespace nibble::cpu
