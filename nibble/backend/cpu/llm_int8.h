// SPDX-License-Identifier: Apache-2.0
//
// LLM.int8() (arXiv 2208.07339, section 3): activations become int8 per token, columns that hold an
// outlier stay float, and the int8 products are summed exactly.
//   y = (q . w) * absmax_x * absmax_w / 127^2 + x[outlier columns] . (w * absmax_w / 127) + bias
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/backend/cpu/buffer_cache.h"
#include "nibble/backend/cpu/linear_kernels.h"
#include "nibble/base/thread_pool.h"

namespace nibble::cpu {

// x as the int8 kernels read it. x is first rounded to float16, as the reference implementation
// does; an element is an outlier when its magnitude then reaches the threshold (where that is > 0)
// or is not finite, which includes what lies beyond float16's range. A column with an outlier is
// an outlier column for every token: its codes are 0 and its original float32 values are kept.
struct Int8Activations {
  int64_t tokens = 0, cols = 0;
  int64_t stride = 0;          // cols rounded up; the padding is zero
  CachedArray<int16_t> codes;  // [tokens, stride], in [-127, 127]
  // [tokens], over the elements that are not outliers, and gemm_group() zeros behind them, for
  // whole vectors.
  std::vector<float> absmax;
  std::vector<int64_t> outlier_columns;  // ascending
  std::vector<float> outliers;           // [tokens, outlier_columns]
};

Int8Activations quantize_activations(ThreadPool& pool, BufferCache& buffers, const float* x,
                                     int64_t tokens, int64_t cols, float threshold);

// Rows of an int8_row weight times a few tokens, whose codes pack_codes wrote to `parts`
// [tokens * cols]; one token's are x.codes as they are. args.x is not read.
void int8_dot_rows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                   const int16_t* parts, RowRange range);

// The same for many tokens, packed in the groups of gemm_group().
struct PackedInt8 {
  const int16_t* codes = nullptr;   // by int8_gemm_pack: pairs of columns, or bytes by fours
  const float* outliers = nullptr;  // [groups, outlier_columns, group], by gemm_pack
};

// int32 sums hold this many columns: 2^16 * 255 * 128 < 2^31.
inline constexpr int64_t kMaxInt8GemmCols = int64_t{1} << 16;

void int8_gemm_pack(const Int8Activations& x, int64_t begin, int64_t end, int16_t* packed);
void int8_gemm_rows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                    const PackedInt8& packed, RowRange range, int64_t token_begin,
                    int64_t token_end);

inline constexpr float kInverseInt8MaxSquared = 1.0f / (kInt8Max * kInt8Max);

// One result before the bias, from the sum of codes and the sum over outlier columns.
inline float int8_result(float code_sum, float outlier_sum, float x_absmax, float w_absmax) {
  return code_sum * (x_absmax * w_absmax) * kInverseInt8MaxSquared +
         outlier_sum * (w_absmax / kInt8Max);
}

}  // namespace nibble::cpu
