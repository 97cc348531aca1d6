// SPDX-License-Identifier: Apache-2.0
//
// HQQ's view of a matrix and its words. The elements of [rows, cols], in order, are taken for a
// matrix of groups: with axis 1 [elements / group_size, group_size], a group a row; with axis 0
// [group_size, elements / group_size], a group a column. That matrix is cut across into as many
// equal slabs as a word has codes, the first in the highest bits.
#pragma once

#include <cstdint>

#include "nibble/base/thread_pool.h"
#include "nibble/format/affine_group.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct HqqShape {
  int64_t rows = 0, cols = 0;
  int64_t group_size = 0;
  int64_t axis = 1;

  // [outer, inner], the matrix of groups.
  int64_t outer() const { return axis == 0 ? group_size : rows * cols / group_size; }
  int64_t inner() const { return axis == 0 ? rows * cols / group_size : group_size; }
  // Groups within rows, or across whole rows: what AffineGroup can hold. All sizes are positive.
  bool fits() const;
  // As AffineGroup has them: scales [scale_rows, groups].
  Shape scales() const;
};

// Bits in which codes of `nbits` lie: 8, 4, 3, 2 or 1. Words are uint8, of 3 bits int32.
int64_t hqq_stored_bits(double nbits);

// [slabs' rows, inner] of words.
Shape hqq_word_shape(const HqqShape& shape, int64_t bits);
// Whether the matrix of groups can be cut; 3 bits, ten to a word, are padded instead.
bool fits_hqq_words(const HqqShape& shape, int64_t bits);

// A code matrix [rows, cols] uint8 from and to words of hqq_word_shape().
Tensor hqq_words(const Tensor& code_matrix, const HqqShape& shape, int64_t bits);
Tensor codes_of_hqq(const Tensor& words, const HqqShape& shape, int64_t bits, ThreadPool& pool);

}  // namespace nibble
