// SPDX-License-Identifier: Apache-2.0
//
// The kernels other than linear, on raw pointers: shapes were checked above the backend. Each
// splits its work over the pool unless it is too small to be worth it.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/backend/backend.h"
#include "nibble/base/thread_pool.h"

namespace nibble::cpu {

// Elements per task of the cheap element-wise kernels. A parallel region costs one to two
// microseconds, in which one core passes over about this many elements.
inline constexpr int64_t kElementGrain = 16 << 10;

void rms_norm(ThreadPool& pool, const float* x, int64_t rows, int64_t width, const float* weight,
              float eps, float* y);

// sum = a + b, y = rms_norm(sum); the same to the last bit as one after the other.
void add_rms_norm(ThreadPool& pool, const float* a, const float* b, int64_t rows, int64_t width,
                  const float* weight, float eps, float* sum, float* y);

struct RopeArgs {
  struct Part {
    const float* x = nullptr;  // [tokens, heads, head_dim]; y may be the same
    int64_t heads = 0;
    const float* norm_weight = nullptr;  // [head_dim], or null: no norm before
    float* y = nullptr;
  };
  std::span<const Part> parts;
  int64_t tokens = 0, head_dim = 0;
  const int32_t* positions = nullptr;  // [tokens]
  const float* inv_freq = nullptr;     // [half_dim]
  int64_t half_dim = 0;                // rotary_dim / 2
  float scaling = 1.0f;                // on cosine and sine
  float norm_eps = 0.0f;
};
void rope(ThreadPool& pool, const RopeArgs& args);

void attention(ThreadPool& pool, const AttentionArgs& args, float* y);

void silu_mul(ThreadPool& pool, const float* gate, const float* up, int64_t count, float* y);
void add(ThreadPool& pool, const float* a, const float* b, int64_t count, float* y);

void cross_entropy(ThreadPool& pool, const float* logits, int64_t tokens, int64_t vocab,
                   const int32_t* targets, float* losses);

// The best of several short runs: other work on the machine only ever makes a run slower.
DeviceLimits measure_limits(ThreadPool& pool);

// y[i] = e^x[i]: what softmax and SiLU use, for its test.
void exp_array(const float* x, int64_t count, float* y);

}  // namespace nibble::cpu
