// SPDX-License-Identifier: Apache-2.0
//
// The words of GPTQ files. Codes lie along the inputs: word w of output n holds bits
// [32 w, 32 w + 32) of the little-endian stream of n's codes, so a matrix of words is our rows of
// codes transposed. Zeros lie along the outputs in the same way. Files of format "gptq" store each
// zero less one, "gptq_v2" as it is.
#pragma once

#include <cstdint>

#include "nibble/base/thread_pool.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

enum class GptqZeros : uint8_t { kLessOne, kAsTheyAre };  // "gptq", "gptq_v2"

// True when both sides fill whole words.
bool fits_gptq(int64_t rows, int64_t cols, int64_t bits);

// qweight [cols * bits / 32, rows] int32 from and to codes [rows, cols * bits / 8] uint8.
Tensor gptq_words(const Tensor& codes);
Tensor codes_of_gptq(const Tensor& words, ThreadPool& pool);

// qzeros [groups, rows * bits / 32] int32 from and to zeros [rows, groups] uint8. The one is added
// to whole words, as the writers that take it from whole words expect: only this gives back zeros
// of 0. Three bits, which cross words, are added to one by one, modulo 8.
Tensor gptq_zero_words(const Tensor& zeros, int64_t bits, GptqZeros form);
Tensor zeros_of_gptq(const Tensor& words, int64_t rows, int64_t bits, GptqZeros form);

// Words in which a zero of 0 has overwritten those behind it, if `words` are of form kLessOne:
// AutoGPTQ stores 0 - 1 as 32 bits and all of them reach the word. A last zero harms none. What
// was there is lost; 2, 4 and 8 bits.
int64_t count_ruined_words(const Tensor& words, int64_t bits);

// g_idx [cols], the group of each column, to where the column is stored when columns are sorted by
// group, equal ones in order: undefined when they are in order already. Negative groups count from
// the end. Throws Error for a group that does not exist and for one that has too many columns.
Tensor positions_of_groups(const Tensor& g_idx, int64_t groups, int64_t group_size);
Tensor groups_of_positions(const Tensor& positions, int64_t cols, int64_t group_size);

}  // namespace nibble
