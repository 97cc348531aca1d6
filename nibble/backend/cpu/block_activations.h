// SPDX-License-Identifier: Apache-2.0
//
// x as the kernels of 4-bit codes read it: int16 with one float scale per token and group of
// columns, so that a product with codes looked up as int16 too takes the integer multiply-add,
// which does twice as many as the float one and needs half the look-up. A group's largest magnitude
// becomes `limit`: with the 14 bits that decoding uses x is off by at most 2^-15 of that magnitude,
// less in all than if it were rounded to float16 or bfloat16.
#pragma once

#include <hwy/aligned_allocator.h>

#include <cstdint>

#include "nibble/base/thread_pool.h"

namespace nibble::cpu {

// Columns of a group: what one vector of codes holds. 0 where there are no byte shuffles to look
// codes up with.
int64_t code_group();

enum class BlockOrder : uint8_t {
  kColumns,  // as they come
  kCodes,    // in the order in which a vector of 4-bit codes is looked up (code_pairs-inl.h)
};

struct BlockActivations {
  int64_t tokens = 0, cols = 0;
  // [tokens, cols], each group in its BlockOrder.
  hwy::AlignedFreeUniquePtr<int16_t[]> codes;
  // [tokens, cols / group]; x = code * scale. Not a number for a group that holds infinity or NaN,
  // and 0 for one of zeros (or of magnitudes below 2^-100).
  hwy::AlignedFreeUniquePtr<float[]> scales;
};

// x [tokens, cols] with cols a multiple of code_group(); 0 < limit < 2^15.
BlockActivations quantize_blocks(ThreadPool& pool, const float* x, int64_t tokens, int64_t cols,
                                 int32_t limit, BlockOrder order);

}  // namespace nibble::cpu
