// SPDX-License-Identifier: Apache-2.0
//
// x as the kernels of 4-bit codes read it: int16 with one float scale per token and group of
// columns, so that a product with codes looked up as int16 too takes the integer multiply-add,
// which does twice as many as the float one and needs half the look-up. The scale is the smallest
// that keeps within BlockLimits, so an int32 can hold a sum over a group however x is distributed:
// the sum of magnitudes bounds it, and for most x that leaves one or two bits more than the bound
// by the largest magnitude. x is off by half a step, in decoding 2^-15 of a group's largest
// magnitude: less in all than if it were rounded to float16 or bfloat16.
#pragma once

#include <cstdint>

#include "nibble/backend/cpu/buffer_cache.h"
#include "nibble/base/thread_pool.h"
#include "nibble/format/int8_activations.h"

namespace nibble::cpu {

// Columns of a group: what one vector of codes holds. 0 where there are no byte shuffles to look
// codes up with.
int64_t code_group();

// What the codes of one token and group may reach.
struct BlockLimits {
  int32_t magnitude = 0;  // of each, below 2^15
  int64_t sum = 0;        // of all magnitudes together, above code_group(); 0: any sum
  int64_t columns = 0;    // that share a scale: a multiple of code_group(); 0: code_group()
};

// int8 activations and what codes are with them.
inline constexpr int32_t kInt8ValueLimit = 127;
inline constexpr BlockLimits kInt8Limits = {.magnitude = 127, .columns = kInt8ActivationGroup};

enum class BlockOrder : uint8_t {
  kColumns,  // as they come
  kCodes,    // in the order in which a vector of 4-bit codes is looked up (code_pairs-inl.h)
  kHalves,   // even columns of a group, then odd ones
  // Of two groups (or a last single one) every fourth element together; parts of several tokens
  // (tokens_of_part) in one stream: [pair of groups, token, element]. Scales in the same order,
  // each 8 times, so that a vector of sums meets a vector of scales; but those of a part of one
  // token once, [groups], for they are multiplied with the weight's first.
  kWords,
};

// Tokens that a kernel takes in one pass over the weight, of those that are left.
inline int64_t tokens_of_part(int64_t left, int64_t largest) {
  while (largest > left) largest /= 2;
  return largest;
}
inline constexpr int64_t kWordsPart = 8;  // the largest of kWords

// What kernels need of x besides its codes.
struct BlockForm {
  BlockLimits limits;
  BlockOrder order = BlockOrder::kColumns;
  bool odd_first = false;   // kCodes, kHalves and kWords: each pair of columns changes places
  int64_t sum_columns = 0;  // sums of x over so many columns; 0: none
};

struct BlockActivations {
  int64_t tokens = 0, cols = 0, sum_columns = 0;
  BlockOrder order = BlockOrder::kColumns;
  CachedArray<int16_t> codes;  // [tokens, cols] in their BlockOrder
  int64_t scale_lanes = 1;     // how often each scale stands in `scales`
  // [tokens, cols / group, scale_lanes]; x = code * scale. Not a number for a group that holds
  // infinity or NaN, and 0 for one of zeros (or of magnitudes below 2^-100).
  CachedArray<float> scales;
  CachedArray<float> sums;  // [tokens, cols / sum_columns] of code * scale; null: none
};

// x [tokens, cols] with cols a multiple of code_group().
BlockActivations quantize_blocks(ThreadPool& pool, BufferCache& buffers, const float* x,
                                 int64_t tokens, int64_t cols, const BlockForm& form);

}  // namespace nibble::cpu
